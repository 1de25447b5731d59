"""What Google grants a project by default, in requests of the Calendar API.

https://developers.google.com/workspace/calendar/api/guides/quotas; the project's console says what it was granted.
"""

from __future__ import annotations

from typing import Final

PROJECT_MINUTE: Final = 10_000
"""Requests a minute that Google grants a project by default."""
USER_MINUTE: Final = 600
"""Requests a minute that Google grants each user by default."""
PROJECT_DAY: Final = 1_000_000
"""Requests a day that Google grants a project by default."""
