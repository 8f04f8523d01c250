"""What helps where a store refuses, told by what it says."""

REMEDIES = {
    "Invalid Host header": "the server does not go by this name: start it with --allowed-hosts, as docs/team.md says",
    "error code 401": "it wants a name and a password: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "error code 403 != 200. Response body: 'Permission denied'": "who runs the server can permit it: docs/team.md says how",
    "No module named 'psycopg": "pip install -e '.[postgres]', and let the address begin with postgresql+psycopg://",
}


def with_remedy(problem: str) -> str:
    """The problem, and what helps in parentheses, where that is known."""
    remedy = next((remedy for words, remedy in REMEDIES.items() if words in problem), None)
    return f"{problem} ({remedy})" if remedy else problem
