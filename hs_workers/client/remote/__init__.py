"""What clients are told of other servers' profiles, directories, rooms: asked, checked, kept a while."""
