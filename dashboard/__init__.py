"""The operators' web page: Flask, Jinja2, plain forms, one stylesheet. Everything it does goes through `operations/`.

How to add a screen (see `screens/deliveries.py`):

1. `screens/NAME.py`: `screen = ScreenBlueprint("NAME", N_("Title"))`, and its views: `@screen.page("/names")` for a GET
   that `read` may see, `@screen.act("/names/act", role="operate")` for a POST. Every route states its role (of a page,
   `read` by default); none is open without a login. A view calls `operations`, and returns
   `render("NAME/list.html", ...)` or, after an act, `see_other("NAME.view", ...)`. `current()` (stores.py) has the
   services and the settings, `operator()` (access.py) is the person logged in, `now()` (times.py) the time.
2. Append the module's `screen` to `SCREENS` in `screens/__init__.py`: the order there is that of the navigation. A
   screen without a place in the navigation has `title=None`.
3. `templates/NAME/*.html` extend `layout.html` and use the macros of `macros.html` (`status`, `pager`, `counted`,
   `short`, `input`); `moment(...)` shows a time. Autoescaping is on: never use `|safe`. No inline script or style: the
   CSP blocks it.
4. Every text goes through `_("...")` or `ngettext("...", "...", n)`, in templates as in Python (`N_` marks a text that
   is translated later). English is in the code; German in `german/NAME.json`: English -> German, for `ngettext` the
   singular -> [singular, plural]. `tests/dashboard/test_i18n.py` finds what is missing. `labels.py` names kinds and
   statuses, `filters.py` has the filters that screens share.
5. A list reads one page by `keyset.fetch` (at most PAGE_SIZE rows, continued after the last row's key, in the query
   string) and counts by `operations.keyset.count_tabs` (stops at 1,001). No query without an index: add the URL to
   `tests/dashboard/test_plans.py`.
6. An act that changes something records an `Intervention` with `operator().name`, in its transaction.
7. Tests in `tests/dashboard/test_NAME.py`, with `client(role)` of its conftest. `test_access.py`, `test_pages.py`
   (size, hostile text, headings, labels) walk the URL map, so they try your routes too: a route with arguments gets
   example values in `tests/dashboard/conftest.py`.
"""

from runtime.process.python_check import check_python

check_python()
