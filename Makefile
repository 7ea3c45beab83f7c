# Thin names for the commands in the README. Each makes what it needs first, in this folder; nothing is installed twice.
.PHONY: demo test ui check servers lock

demo: .venv/ready ; @.venv/bin/python -m mlops_assets.replay
test: .venv/ready servers ; @.venv/bin/python -m pytest --cov -n logical --maxprocesses 4 --no-loadscope-reorder
ui: .venv/ready ; @.venv/bin/python -m mlops_assets.ui
check: .venv/ready ; @.venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/basedpyright && .venv/bin/lint-imports
lock: .venv/ready ; @deploy/embedded/lock.sh
servers: .venv/ready ; @deploy/embedded/servers.sh
.venv/ready: requirements.lock pyproject.toml deploy/embedded/setup.sh .venv/bin/python ; @deploy/embedded/setup.sh
.venv/bin/python: ; @:
