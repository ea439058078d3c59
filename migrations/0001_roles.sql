-- What: lets the two roles that all work runs as see the schema; the migrator makes the roles, which belong to the whole server.
-- Breaking: no.

grant usage on schema public to bursar_app, bursar_system;
