-- Makes one role for Optuna and one for MLflow, each the owner of a database of its own, and sets its password.
-- Usage: psql --set=role=optuna --file=roles.sql. The password is read from a file. A second run changes nothing else.
\set ON_ERROR_STOP on
\set place '/run/secrets/' :role '-db-password'
\set password `cat :'place'`
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'role', :'role')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'role') \gexec
ALTER DATABASE :"role" OWNER TO :"role";
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
\connect :"role"
-- what the superuser owns in a database that an earlier version of this stack made
ALTER SCHEMA public OWNER TO :"role";
SELECT format('ALTER TABLE %I OWNER TO %I', tablename, :'role')
FROM pg_tables WHERE schemaname = 'public' AND tableowner <> :'role' \gexec
SELECT format('ALTER TYPE %I OWNER TO %I', typname, :'role')
FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e' AND pg_get_userbyid(typowner) <> :'role' \gexec
