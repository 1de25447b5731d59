"""A real SMTP server (aiosmtpd) whose conversations can be scripted: STARTTLS, login, refusals, hang-ups.

It keeps what it accepted and writes it to an outbox directory as `*.eml`, where one is given. The scripts come by a
control API over HTTP, as with the other doubles.

    python -m catchup_dev.doubles.smtp serve --port 8972 --control-port 8973 --outbox .local/outbox
    python -m catchup_dev.doubles.smtp call add_fault stage=message accept_then_drop=true
"""
