"""A scripted double of Twilio's messaging API (`/2010-04-01/Accounts/{sid}/Messages`), over HTTP.

Faithful where the digest depends on it: authentication, the form of messages and of errors, statuses that go on after
the 201, opt-outs, listing by recipient. A control API scripts faults and outcomes. Every accepted message is written
to an outbox directory as `*.sms.json`, where one is given.

    python -m catchup_dev.doubles.twilio serve --port 8971 --outbox .local/outbox
    python -m catchup_dev.doubles.twilio call add_fault kind=create accept_then_drop=true
    python -m catchup_dev.doubles.twilio call messages
"""
