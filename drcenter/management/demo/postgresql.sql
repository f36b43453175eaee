-- The sample clinic: everything here is the same each time.
CREATE SCHEMA billing;
COMMENT ON SCHEMA billing IS 'what is owed 💶';
CREATE TYPE insurance AS ENUM ('public', 'private', 'none');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE TABLE patients (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  address email,
  insurance insurance NOT NULL DEFAULT 'public',
  tags text[] NOT NULL DEFAULT '{}',
  record jsonb NOT NULL,
  born date NOT NULL,
  name_length integer GENERATED ALWAYS AS (length(name)) STORED,
  letter oid
);
COMMENT ON COLUMN patients.letter IS 'a large object';
CREATE INDEX patients_by_tag ON patients USING gin (tags);
CREATE TABLE visits (
  id bigserial,
  patient integer NOT NULL REFERENCES patients,
  during tstzrange NOT NULL,
  temperature double precision,
  year integer NOT NULL,
  PRIMARY KEY (id, year)
) PARTITION BY LIST (year);
CREATE TABLE visits_2024 PARTITION OF visits FOR VALUES IN (2024);
CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES IN (2025);
CREATE SEQUENCE billing.numbers START 1000 INCREMENT 10;
CREATE TABLE billing.invoices (
  number integer PRIMARY KEY DEFAULT nextval('billing.numbers'),
  patient integer NOT NULL REFERENCES patients,
  amount numeric(10, 2) NOT NULL,
  lines jsonb NOT NULL
);
INSERT INTO patients (name, address, insurance, tags, record, born)
  SELECT (ARRAY['Ana Öztürk', 'Jürgen Weiß', '田中 さくら', 'Zoë 🦷'])[1 + n % 4] || ' ' || n, 'p' || n || '@example.org',
    (ARRAY['public', 'private', 'none'])[1 + n % 3]::insurance, ARRAY['tag ' || n % 7, 'tag ' || n % 11],
    jsonb_build_object('allergies', jsonb_build_array(n % 5, 'nuts'), 'note', repeat('ü', n % 40)), date '1950-01-01' + n * 5
  FROM generate_series(1, 1500) AS n;
INSERT INTO visits (patient, during, temperature, year)
  SELECT 1 + n * 31 % 1500, tstzrange(at, at + interval '20 minutes'), 36 + n % 40 / 7.0::double precision, extract(year FROM at)
  FROM generate_series(1, 6000) AS n, LATERAL (SELECT timestamptz '2024-01-02 08:00+00' + n * interval '2 hours' AS at) AS moment;
INSERT INTO billing.invoices (patient, amount, lines)
  SELECT 1 + n * 17 % 1500, n % 977 + n % 100 / 100.0, jsonb_build_array(jsonb_build_object('code', n % 300, 'text', 'treatment ' || n))
  FROM generate_series(1, 3000) AS n;
UPDATE patients SET letter = lo_from_bytea(0, convert_to('Letter for ' || name, 'UTF8')) WHERE id <= 10;
CREATE VIEW billing.owed AS SELECT patient, sum(amount) AS amount FROM billing.invoices GROUP BY patient;
CREATE MATERIALIZED VIEW visits_by_month AS
  SELECT year, date_trunc('month', lower(during) AT TIME ZONE 'UTC') AS month, count(*) AS visits FROM visits GROUP BY 1, 2;
-- From here on the materialised view is behind its table: a restore must not freshen it.
INSERT INTO visits (patient, during, temperature, year) VALUES (1, '[2025-05-01 08:00+00, 2025-05-01 09:00+00)', 38.5, 2025);
CREATE FUNCTION billing.total(who integer) RETURNS numeric LANGUAGE sql STABLE
  AS $$ SELECT coalesce(sum(amount), 0) FROM billing.invoices WHERE patient = who $$;
CREATE FUNCTION billing.keep_invoices() RETURNS trigger LANGUAGE plpgsql
  AS $$ BEGIN RAISE EXCEPTION 'Invoices are not deleted.'; END $$;
CREATE TRIGGER keep BEFORE DELETE ON billing.invoices FOR EACH ROW EXECUTE FUNCTION billing.keep_invoices();
ALTER TABLE patients ENABLE ROW LEVEL SECURITY;
CREATE POLICY publicly_insured ON patients FOR SELECT USING (insurance = 'public');
