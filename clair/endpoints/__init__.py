"""Everything that talks to model endpoints. Start reading at `endpoint.py`.

spec (which model, where) · options (sampling, limits) · client (the real `openai` client) · spelling (what a server
calls the longest answer) · probe (the first look) · classify (what an error means) · reply (what an answer says) ·
controller, bucket, limiter (how hard to press) · breaker (when to give up) · pricing (what it costs)
"""
