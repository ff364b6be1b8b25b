"""The studio: a page on this machine where recipes are changed, drawn and looked at.

Only the command imports it. Its server needs starlette and uvicorn, which the extra `studio` installs; what stands
behind the page (recipes, forms, jobs, the process that draws) needs neither.
"""
