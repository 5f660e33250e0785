"""Questions asked of a finished analysis: releases, rollout, alert coverage."""
