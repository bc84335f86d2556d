"""The sandbox: a small world in which the whole recipe runs for real, with no key, no network and no GPU.

Everyday word problems (`problems`), a half-million-parameter student that has bad habits (`student`), and a teacher
that is an exact solver (`teacher`), reached through the same chat API as any other model (`transport`, `server`).
It is for trying, testing and comparing recipes; its figures say nothing about large models.
"""
