"""What lies where in a sweep's folder. No torch."""

from __future__ import annotations

CONFIG_FILE = "config.yaml"
DATA_FILE = "data.json"
TARGET_FILE = "target.json"
SPEED_FILE = "speedup.json"
OUTCOME_FILE = "outcome.json"
TASK_FILE = "ticket_task.json"  # in a delivered or exported model's folder
REPORT_FILE = "report.html"
FAILED_FILE = "failed.json"  # in the folder of a run that failed every time
RUNS = "runs"
TICKETS = "tickets"
MEMBERS = "members"  # weights of the models of a soup, until it is delivered
TASKS = "tasks"
MODEL = "model"
SHARED_FILE = "shared.json"  # in MODEL; as encoders.shared has it, which loads torch
CACHE = "cache"
ENCODERS = "encoders"  # in CACHE, of a transfer
ENCODER = "encoder"  # on a node without this machine's files: the pretrained encoder, beside the data
SUPER_TICKET = "super_ticket"
