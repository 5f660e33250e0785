"""The commands, by what they are for; `amakit.cli` puts them together."""
