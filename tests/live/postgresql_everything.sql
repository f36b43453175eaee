CREATE ROLE shop_owner LOGIN PASSWORD 'owner-pass-1';
CREATE ROLE shop_reader CONNECTION LIMIT 7;
CREATE ROLE "reporting team" LOGIN PASSWORD 'team-pass-2' NOINHERIT;
GRANT shop_reader TO "reporting team" WITH ADMIN OPTION;
ALTER ROLE "reporting team" SET search_path = sales, "odd schema", public;
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET app.tenant TO %L', current_database(), 'Müller & Söhne');
  EXECUTE format('ALTER DATABASE %I SET search_path TO public, sales', current_database());
  EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only TO on', current_database());
  EXECUTE format('ALTER ROLE shop_owner IN DATABASE %I SET work_mem TO %L', current_database(), '8MB');
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  EXECUTE format('GRANT CREATE ON DATABASE %I TO shop_owner', current_database());
  EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), 'the shop''s 100 % data');
  EXECUTE format('ALTER DATABASE %I OWNER TO shop_owner', current_database());
END $$;
SET default_transaction_read_only = off;
CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE SCHEMA sales AUTHORIZATION shop_owner;
CREATE SCHEMA "odd schema";
GRANT USAGE ON SCHEMA sales TO shop_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO shop_reader;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE TYPE mood AS ENUM ('sad', 'ok', 'very happy');
CREATE DOMAIN percentage AS numeric(5,2) DEFAULT 0 CHECK (VALUE BETWEEN 0 AND 100);
CREATE TYPE address AS (street text, city varchar(40));
CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE SEQUENCE invoice_number START 1000 INCREMENT 10 MAXVALUE 99999 CYCLE;
SELECT nextval('invoice_number'), nextval('invoice_number');
CREATE SEQUENCE untouched;

CREATE TABLE customers (
  id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100) PRIMARY KEY,
  name text NOT NULL, email citext UNIQUE,
  status varchar(20) NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'old', 'it''s')),
  mood mood, discount percentage, home address,
  tags text[], extra jsonb, attributes hstore, valid daterange, heat floatrange,
  born timestamptz, took interval, ratio float8, small real, photo bytea, fixed char(5), price money,
  upper_name text GENERATED ALWAYS AS (upper(name)) STORED
);
INSERT INTO customers (name, email, status, mood, discount, home, tags, extra, attributes, valid, heat, born,
    took, ratio, small, photo, fixed, price)
SELECT 'Käthe ' || i || ' 🦊', 'k' || i || '@example.org', 'it''s', 'very happy', i % 100,
    ROW('Straße ' || i, NULL)::address, ARRAY['a,b', NULL, '"q"'], jsonb_build_object('n', i, 'x', NULL::int),
    hstore('k', i::text), daterange('2024-01-01', '2024-02-01'), floatrange(0.1, 0.3),
    '2024-03-31 02:30:00+01'::timestamptz + i * interval '1 day', interval '1 year 2 mons 3 days 04:05:06.789',
    0.1::float8 + i, 16777216, decode(repeat('00ff5c', i % 7), 'hex'), 'ab', 12.34
FROM generate_series(1, 300) i;
INSERT INTO customers (name, email) VALUES ('', NULL), (E'tab\tnew\nline \\ \\. end', 'x@example.org');
UPDATE customers SET ratio = 'NaN', small = '-Infinity' WHERE id = 101;

CREATE TABLE "order lines" ("line no" int, "the ""text""" text, "größe" numeric);
INSERT INTO "order lines" VALUES (1, 'same', 1.10), (1, 'same', 1.10), (2, NULL, NULL);
CREATE TABLE "odd schema"."ÜÖÄ tabelle" (a int);
INSERT INTO "odd schema"."ÜÖÄ tabelle" SELECT generate_series(1, 50);
CREATE TABLE nothing ();
CREATE UNLOGGED TABLE sessions (token text);
INSERT INTO sessions VALUES ('t');

CREATE TABLE sales.orders (
  id bigint, customer bigint NOT NULL REFERENCES customers ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  day date NOT NULL, amount numeric(12,2), PRIMARY KEY (id, customer, day)
) PARTITION BY RANGE (day);
CREATE TABLE sales.orders_2023 PARTITION OF sales.orders FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE sales.orders_2024 PARTITION OF sales.orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01')
  PARTITION BY LIST (customer);
CREATE TABLE sales.orders_2024_rest PARTITION OF sales.orders_2024 DEFAULT;
INSERT INTO sales.orders SELECT i, 100 + i % 50, DATE '2023-06-01' + i, i * 1.5 FROM generate_series(1, 400) i;
SET CONSTRAINTS ALL IMMEDIATE;
CREATE INDEX orders_amount ON sales.orders (amount DESC NULLS LAST) WHERE amount > 10;
CREATE INDEX customers_lower ON customers (lower(name) text_pattern_ops) INCLUDE (status);
CREATE INDEX customers_status ON customers (status) WHERE status IN ('new', 'old');
CREATE STATISTICS customers_stats (dependencies) ON status, mood FROM customers;

CREATE TABLE animals (name text);
CREATE TABLE dogs (breed text) INHERITS (animals);
ALTER TABLE animals ADD COLUMN legs int DEFAULT 4;
INSERT INTO dogs VALUES ('Rex', 'collie', 4), ('Bo', 'pug', 3);
INSERT INTO animals VALUES ('cat', 4);

CREATE VIEW active AS SELECT c.*, o.amount FROM customers c LEFT JOIN sales.orders o ON o.customer = c.id
  WHERE c.status IN ('new', 'it''s');
CREATE MATERIALIZED VIEW sales.totals AS SELECT customer, sum(amount) AS total FROM sales.orders GROUP BY 1;
CREATE UNIQUE INDEX ON sales.totals (customer);
CREATE MATERIALIZED VIEW sales.never AS SELECT 1 AS one WITH NO DATA;

CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $f$
BEGIN NEW.name := NEW.name || '!'; RETURN NEW; END $f$;
CREATE TRIGGER stamp_it BEFORE UPDATE OF name ON customers FOR EACH ROW WHEN (OLD.status <> 'old') EXECUTE FUNCTION stamp();
CREATE TRIGGER sleeping AFTER INSERT ON customers FOR EACH STATEMENT EXECUTE FUNCTION stamp();
ALTER TABLE customers DISABLE TRIGGER sleeping;
CREATE FUNCTION sales.twice(x int DEFAULT 2, VARIADIC rest int[] DEFAULT '{}') RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x * 2';
CREATE FUNCTION atomic(s varchar) RETURNS boolean LANGUAGE sql BEGIN ATOMIC SELECT s IN ('a', 'b'); END;
CREATE PROCEDURE clean_up() LANGUAGE plpgsql AS 'BEGIN DELETE FROM sessions; END';
CREATE AGGREGATE product(float8) (SFUNC = float8mul, STYPE = float8, INITCOND = 1);
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE EVENT TRIGGER watch_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION on_ddl();
CREATE RULE no_delete AS ON DELETE TO nothing DO INSTEAD NOTHING;
CREATE COLLATION german (provider = libc, locale = 'C');
CREATE TEXT SEARCH CONFIGURATION shop_search (COPY = simple);
CREATE PUBLICATION changes FOR TABLE customers (id, name) WHERE (id > 5);
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON customers AS PERMISSIVE FOR SELECT TO shop_reader, "reporting team" USING (status IN ('new', 'old'));
ALTER TABLE sales.orders OWNER TO shop_owner;
ALTER TABLE sales.orders_2023 OWNER TO shop_owner;
ALTER FUNCTION sales.twice OWNER TO shop_owner;
GRANT SELECT, INSERT ON customers TO shop_reader;
GRANT UPDATE (name, "status") ON customers TO "reporting team" WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE invoice_number TO shop_reader;
GRANT EXECUTE ON FUNCTION stamp() TO shop_reader;
GRANT CREATE ON SCHEMA public TO shop_owner;
REVOKE ALL ON TYPE mood FROM PUBLIC;
COMMENT ON TABLE customers IS 'Who pays. It''s "quoted".';
COMMENT ON COLUMN customers.name IS 'as spoken';
COMMENT ON CONSTRAINT customers_pkey ON customers IS 'the key';
COMMENT ON FUNCTION stamp() IS 'stamps';
COMMENT ON SCHEMA sales IS 'money';
COMMENT ON EXTENSION citext IS 'changed comment';
SELECT lo_from_bytea(424242, 'large object content'::bytea);
SELECT lo_from_bytea(424243, ''::bytea);
SELECT lo_put(424243, 5000000, 'far away'::bytea);
ALTER LARGE OBJECT 424242 OWNER TO shop_owner;
GRANT SELECT ON LARGE OBJECT 424242 TO shop_reader;
COMMENT ON LARGE OBJECT 424242 IS 'a scan';
