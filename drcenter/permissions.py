"""The rights that acts ask for, by name, in one place; seeing and editing use Django's own."""

RUN_PLAN = "backups.run_plan"
VERIFY_SET = "backups.verify_set"
RESTORE_BESIDE = "backups.restore_beside"
RESTORE_PRODUCTION = "backups.restore_production"
CANCEL_JOB = "jobs.cancel_job"
