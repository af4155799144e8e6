"""From towers and a catalogue to a version in place."""
