"""Copies to give away: snapshots and pseudonyms."""
