"""kew: a background task queue that lives inside an asyncio process."""
