"""The report of a study: its page, its pictures with captions, and what `gradstab region` says at a point."""
