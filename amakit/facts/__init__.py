"""What a write-up rests on, with no word in it: outages summed, what is to be done, what cannot be shown."""
