"""A run folder on the Hugging Face Hub, through `huggingface_hub` alone.

    published = publish(run_dir, "me/pairs", license="cc-by-4.0")
    write_publication(run_dir, folder, repo="me/pairs", license="cc-by-4.0")         # what would go up, no network

`check` decides whether a run may be shown to the world, `card` merges its card with the one on the Hub, `files` lists
what goes up, `remote` is the only code that talks to the Hub, `failures` says what its errors mean, `publish` puts
these together.
"""
