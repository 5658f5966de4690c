"""Other servers' APIs in the terms of ours: requests become chats and drawings, answers are told in their forms."""
