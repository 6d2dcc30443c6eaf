"""The page is up while the database or the model registry is down."""

from __future__ import annotations

import re
from uuid import UUID

from sqlalchemy import make_url, text

from db.session import make_engine, transaction
from tests.fixtures.incidents import make_incidents
from tests.fixtures.postgres import run_admin
from tests.fixtures.service import MakeService, Service, free_port
from tests.integration.serving.page_forms import messages, named, version, visit

#: What a server with a full disk refuses: temporary files, and rows for which a table must grow.
FULL_DISK = """
    CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE disk_full USING MESSAGE = 'could not extend file "base/5/1": No space left on device';
    END $$;
    CREATE TRIGGER no_space BEFORE INSERT ON incident_log EXECUTE FUNCTION no_space();
    CREATE SCHEMA no_space;
    CREATE FUNCTION no_space.generate_series(integer, integer) RETURNS SETOF integer
    LANGUAGE plpgsql AS $$ BEGIN
        RAISE disk_full USING MESSAGE = 'could not write to file "t": No space left on device';
    END $$;
"""


def cleared(database_url: str) -> None:
    """Make an incident that is over, and that nobody looked at."""
    engine = make_engine(database_url)
    [one] = make_incidents(engine)
    with transaction(engine) as connection:
        connection.execute(
            text("UPDATE incidents SET cleared_at = last_activity_at WHERE id = :id"), {"id": one}
        )
    engine.dispose()


def test_the_page_is_up_while_the_database_is_down(
    make_service: MakeService, postgres_server: str, database_url: str
) -> None:
    service = make_service(database_url)
    name = make_url(database_url).database
    with visit(service) as page:
        service.until(lambda: "No reading has arrived yet" in page.get("/").text)
        assert "See what cleared" not in page.get("/").text
        cleared(database_url)
        assert "See what cleared before anybody looked: 1" in page.get("/").text
        run_admin(
            postgres_server,
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        service.until(lambda: page.get("/").status_code == 503)
        shown = page.get("/").text
        assert "The database is down" in shown
        assert re.search(r"</strong>, since <time datetime=\"20", shown)
        assert "The list cannot be read now" in shown
        assert page.get(f"/incidents/{UUID(int=1)}").status_code == 503
        assert "The database is down" in page.get("/working").text
        assert page.get("/kpis").status_code == 503
        misread = page.get("/kpis?since=yesterday")  # no database is needed to say so
        assert misread.status_code == 422
        assert "The figures cannot be shown: since: " in misread.text
        run_admin(postgres_server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        service.until(lambda: page.get("/").status_code == 200)
        assert "The database is down" not in page.get("/").text


def test_a_read_only_database_is_said_and_read(
    make_service: MakeService, postgres_server: str, database_url: str
) -> None:
    name = make_url(database_url).database
    service = make_service(database_url)
    with visit(service) as page:
        service.until(lambda: page.get("/").status_code == 200)
        cleared(database_url)
        run_admin(
            postgres_server,
            f"ALTER DATABASE {name} SET default_transaction_read_only = on",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        service.until(lambda: "The database is read-only" in page.get("/working").text)
        assert "See what cleared before anybody looked: 1" in page.get("/").text


def test_a_full_disk_is_said_and_the_lists_are_read(
    make_service: MakeService, postgres_server: str, database_url: str
) -> None:
    name = make_url(database_url).database
    service = make_service(database_url)
    engine = make_engine(database_url)
    [one] = make_incidents(engine)
    with visit(service) as page:
        service.until(lambda: page.get(f"/incidents/{one}").status_code == 200)
        form = named(page)
        with transaction(engine) as connection:
            connection.execute(text(FULL_DISK))
        run_admin(
            postgres_server,
            f"ALTER DATABASE {name} SET search_path = no_space, pg_catalog, public",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        service.until(lambda: "disk of the database is full" in page.get("/working").text, 60)
        shown = page.get("/")
        assert shown.status_code == 200
        assert one in shown.text
        assert "Working." not in shown.text
        acknowledged = page.post(
            f"/incidents/{one}",
            data={"form_token": form, "verb": "acknowledge", "version": version(page, one)},
        )
        assert "has no space left on its disk" in messages(acknowledged)
        assert "The database is down" not in acknowledged.text
        assert page.get("/").status_code == 200
        run_admin(
            postgres_server,
            f"ALTER DATABASE {name} RESET search_path",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        service.until(lambda: "No reading has arrived yet" in page.get("/working").text, 60)
        service.until(lambda: "is full" not in page.get("/working").text, 60)
    engine.dispose()


def test_the_page_is_up_while_mlflow_is_down(make_service: MakeService, database_url: str) -> None:
    first = make_service(database_url)
    first.stop()
    settings = {
        "MLFLOW_ENABLED": "true",
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "CHAMPION_POLL_S": "1",
    }
    service = Service(first.var_dir, database_url, **settings)
    service.start()
    try:
        with visit(service) as page:
            notice = "The model registry does not work: scoring continues"
            service.until(lambda: notice in page.get("/").text, 60)
            assert re.search(notice + r".*</strong>, since <time datetime=\"20", page.get("/").text)
            assert page.get("/").status_code == 200
            shown = page.get("/models")
            assert shown.status_code == 200
            assert "The registered versions are not known" in shown.text
            assert "Bundle <strong>1</strong>" in shown.text
    finally:
        service.stop()
