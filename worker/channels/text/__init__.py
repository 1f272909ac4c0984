"""The text of a message: what it says, in the reader's language, zone and region. Mail and chats share it."""
