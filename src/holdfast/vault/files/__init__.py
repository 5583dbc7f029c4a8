"""Parts of a snapshot's files: the bytes that somebody asks for, out of the chunks that hold them and no others."""
