"""Chatting with a model: ``launch`` is what the command line calls, ``talk`` the loop, ``screen`` what people see."""
