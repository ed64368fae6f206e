"""Small helpers without a subject of their own: files written whole, words for people, the cache folder, the frame of
a command. Imports nothing of ours but the errors."""
