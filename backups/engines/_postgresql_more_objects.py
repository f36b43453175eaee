"""The queries of `_postgresql_objects` for types, rights, comments, and what belongs to no schema."""

SCHEMAS = """
SELECT 'schema', quote_ident(n.nspname),
    CASE WHEN n.nspname = 'public' AND n.nspowner = 10 THEN '' ELSE pg_get_userbyid(n.nspowner) END
FROM pg_namespace n WHERE <user schema> AND <not of an extension: pg_namespace n>
"""

ENUMS_AND_DOMAINS = """
SELECT 'type', t.oid::regtype::text, concat_ws(E'\\n', 'owner ' || pg_get_userbyid(t.typowner), t.typtype,
    (SELECT string_agg(quote_literal(l.enumlabel), ',' ORDER BY l.enumsortorder)
       FROM pg_enum l WHERE l.enumtypid = t.oid),
    CASE WHEN t.typtype = 'd' THEN concat_ws(' ', format_type(t.typbasetype, t.typtypmod), t.typnotnull,
         t.typdefault, CASE WHEN t.typcollation <> 0 THEN t.typcollation::regcollation::text END) END,
    (SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod)), ','
            ORDER BY a.attnum) FROM pg_attribute a
      WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT concat_ws(' ', format_type(r.rngsubtype, NULL), r.rngcollation::regcollation, r.rngcanonical,
                      r.rngsubdiff, (SELECT opcname FROM pg_opclass WHERE oid = r.rngsubopc))
       FROM pg_range r WHERE r.rngtypid = t.oid),
    CASE WHEN t.typtype = 'b' THEN concat_ws(' ', t.typinput, t.typoutput, t.typlen, t.typalign) END)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE <user schema> AND t.typcategory <> 'A' AND t.typtype <> 'm'
  AND (t.typrelid = 0 OR (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c')
  AND <not of an extension: pg_type t>
"""

RIGHTS_OF_RELATIONS = """
SELECT 'rights on', <name c>,
    <rights coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner)); c.relowner>
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND <user schema> AND <not of an extension: pg_class c>
"""

RIGHTS_OF_COLUMNS = """
SELECT 'rights on column', <name c> || '.' || quote_ident(t.attname), <rights t.attacl; c.relowner>
FROM pg_attribute t JOIN pg_class c ON c.oid = t.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.attacl IS NOT NULL AND t.attacl <> '{}' AND NOT t.attisdropped
  AND <user schema> AND <not of an extension: pg_class c>
"""

RIGHTS_OF_ROUTINES = """
SELECT 'rights on routine', p.oid::regprocedure::text,
    <rights coalesce(p.proacl, acldefault('f', p.proowner)); p.proowner>
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE <user schema> AND <not of an extension: pg_proc p> AND <not internal>
"""

RIGHTS_OF_SCHEMAS = """
SELECT 'rights on schema', quote_ident(n.nspname),
    <rights coalesce(n.nspacl, acldefault('n', n.nspowner)); n.nspowner>
FROM pg_namespace n WHERE <user schema> AND <not of an extension: pg_namespace n>
"""

RIGHTS_OF_TYPES = """
SELECT 'rights on type', t.oid::regtype::text,
    <rights coalesce(t.typacl, acldefault('T', t.typowner)); t.typowner>
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE t.typacl IS NOT NULL AND <user schema> AND <not of an extension: pg_type t>
"""

STATISTICS = """
SELECT 'statistics', quote_ident(n.nspname) || '.' || quote_ident(s.stxname),
    concat_ws(E'\\n', pg_get_userbyid(s.stxowner), pg_get_statisticsobjdef(s.oid))
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE <user schema>
"""

OPERATORS = """
SELECT 'operator', o.oid::regoperator::text, concat_ws(' ', pg_get_userbyid(o.oprowner), o.oprcode, o.oprrest,
    o.oprjoin, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprcanmerge, o.oprcanhash)
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE o.oprcode <> 0 AND <user schema> AND <not of an extension: pg_operator o>
UNION ALL
SELECT 'collation', quote_ident(n.nspname) || '.' || quote_ident(o.collname),
    (to_jsonb(o) - 'oid' - 'collnamespace' - 'collowner' - 'collversion')::text
FROM pg_collation o JOIN pg_namespace n ON n.oid = o.collnamespace
WHERE <user schema> AND <not of an extension: pg_collation o>
UNION ALL
SELECT 'text search configuration', o.oid::regconfig::text, (SELECT string_agg(concat_ws(' ', m.maptokentype,
    m.mapdict::regdictionary), ',' ORDER BY m.maptokentype, m.mapseqno)
    FROM pg_ts_config_map m WHERE m.mapcfg = o.oid)
FROM pg_ts_config o JOIN pg_namespace n ON n.oid = o.cfgnamespace
WHERE <user schema> AND <not of an extension: pg_ts_config o>
UNION ALL
SELECT 'text search dictionary', o.oid::regdictionary::text, o.dictinitoption
FROM pg_ts_dict o JOIN pg_namespace n ON n.oid = o.dictnamespace
WHERE <user schema> AND <not of an extension: pg_ts_dict o>
UNION ALL
SELECT 'operator class', concat_ws(' ', quote_ident(n.nspname) || '.' || quote_ident(o.opcname), m.amname),
    concat_ws(' ', format_type(o.opcintype, NULL), o.opcdefault)
FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_am m ON m.oid = o.opcmethod
WHERE <user schema> AND <not of an extension: pg_opclass o>
"""

_DESCRIBED = """
FROM {catalog} d, LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
LEFT JOIN pg_namespace n ON n.nspname = i.schema
WHERE (d.objoid >= 16384 OR (d.classoid = 'pg_namespace'::regclass AND d.objoid = 'public'::regnamespace))
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classoid AND e.objid = d.objoid
                  AND e.deptype = 'e')
"""
_COMMENTS = "SELECT 'comment on', i.type || ' ' || i.identity, d.description" + _DESCRIBED.replace(
    "{catalog}", "pg_description"
)
_LABELS = (
    "SELECT 'label of ' || d.provider || ' on', i.type || ' ' || i.identity, d.label"
    + _DESCRIBED.replace("{catalog}", "pg_seclabel")
)
COMMENTS = _COMMENTS + "AND <user schema>"
LABELS = _LABELS + "AND <user schema>"
# Constraints, triggers, policies and what stands outside all schemas.
OTHER_COMMENTS = _COMMENTS + "AND n.nspname IS NULL"
OTHER_LABELS = _LABELS + "AND n.nspname IS NULL"

MORE_QUERIES = (
    SCHEMAS, ENUMS_AND_DOMAINS, RIGHTS_OF_RELATIONS, RIGHTS_OF_COLUMNS, RIGHTS_OF_ROUTINES, RIGHTS_OF_SCHEMAS,
    RIGHTS_OF_TYPES, STATISTICS, OPERATORS, COMMENTS, LABELS,
)  # fmt: skip

# What belongs to no schema; pg_dump leaves it out when only some schemas are asked for.

EXTENSIONS = """
SELECT 'extension', quote_ident(x.extname), 'in ' || quote_ident(n.nspname)
FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
"""

CASTS_AND_SERVERS = """
SELECT 'cast', format_type(k.castsource, NULL) || ' as ' || format_type(k.casttarget, NULL),
    concat_ws(' ', k.castcontext, k.castmethod, k.castfunc::regprocedure)
FROM pg_cast k WHERE k.oid >= 16384 AND <not of an extension: pg_cast k>
UNION ALL
SELECT 'foreign data wrapper', quote_ident(f.fdwname), concat_ws(E'\\n', <options f.fdwoptions>,
    (SELECT fdwhandler::regproc::text FROM pg_foreign_data_wrapper WHERE oid = f.oid))
FROM pg_foreign_data_wrapper f WHERE <not of an extension: pg_foreign_data_wrapper f>
UNION ALL
SELECT 'foreign server', quote_ident(s.srvname), concat_ws(E'\\n', pg_get_userbyid(s.srvowner), s.srvtype,
    s.srvversion, <options s.srvoptions>, <rights coalesce(s.srvacl, acldefault('S', s.srvowner)); s.srvowner>)
FROM pg_foreign_server s
UNION ALL
SELECT 'user mapping', quote_ident(m.srvname) || ' for ' || coalesce(m.usename, 'PUBLIC'), ''
FROM pg_user_mappings m
UNION ALL
SELECT 'language', quote_ident(l.lanname), concat_ws(' ', l.lanpltrusted, l.lanplcallfoid::regproc)
FROM pg_language l WHERE l.oid >= 16384 AND <not of an extension: pg_language l>
"""

EVENT_TRIGGERS = """
SELECT 'event trigger', quote_ident(t.evtname), concat_ws(' ', pg_get_userbyid(t.evtowner), t.evtevent,
    t.evtfoid::regprocedure, t.evtenabled, t.evttags)
FROM pg_event_trigger t WHERE <not of an extension: pg_event_trigger t>
"""

PUBLICATIONS = """
SELECT 'publication', quote_ident(p.pubname), concat_ws(E'\\n', pg_get_userbyid(p.pubowner),
    to_jsonb(p) - 'oid' - 'pubowner' - 'pubname',
    (SELECT string_agg(to_jsonb(t)::text, E'\\n' ORDER BY t.schemaname, t.tablename)
       FROM pg_publication_tables t WHERE t.pubname = p.pubname))
FROM pg_publication p
"""

DEFAULT_RIGHTS = """
SELECT 'default rights', concat_ws(' ', pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype),
    <rights d.defaclacl; d.defaclrole>
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
"""

LARGE_OBJECTS = """
SELECT 'large object', l.oid::text, concat_ws(' ', pg_get_userbyid(l.lomowner),
    <rights coalesce(l.lomacl, acldefault('L', l.lomowner)); l.lomowner>)
FROM pg_largeobject_metadata l
"""

DATABASE = """
SELECT 'database', 'settings of ' || coalesce(nullif(s.setrole, 0)::regrole::text, 'everybody'),
    (SELECT string_agg(o, E'\\n' ORDER BY o COLLATE "C") FROM unnest(s.setconfig) o)
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()
UNION ALL
SELECT 'database', 'owner', pg_get_userbyid(d.datdba) FROM pg_database d WHERE d.datname = current_database()
UNION ALL
SELECT 'database', 'rights', <rights coalesce(d.datacl, acldefault('d', d.datdba)); d.datdba>
FROM pg_database d WHERE d.datname = current_database()
UNION ALL
SELECT 'database', 'encoding', pg_encoding_to_char(d.encoding)
FROM pg_database d WHERE d.datname = current_database()
UNION ALL
SELECT 'database', 'comment', c.description FROM pg_shdescription c JOIN pg_database d ON d.oid = c.objoid
WHERE c.classoid = 'pg_database'::regclass AND d.datname = current_database()
"""

# Who owns something here or has rights on it, who is a member of those, and what those are members of.
# Superusers are left out: the server's first one has other dependencies than the same role restored.
ROLES = """
WITH RECURSIVE used(role) AS (
    SELECT s.refobjid FROM pg_shdepend s JOIN pg_database d ON d.datname = current_database()
     WHERE s.refclassid = 'pg_authid'::regclass
       AND (s.dbid = d.oid OR (s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = d.oid))
    UNION
    SELECT r.oid FROM used u JOIN pg_auth_members m ON u.role IN (m.roleid, m.member)
      JOIN pg_roles r ON r.oid IN (m.roleid, m.member)
     WHERE NOT EXISTS (SELECT FROM pg_roles o WHERE o.oid IN (m.roleid, m.member)
                       AND (o.rolsuper OR o.rolname ~ '^pg_'))
)
SELECT 'role', quote_ident(r.rolname), concat_ws(E'\\n', r.rolinherit, r.rolcreaterole,
    r.rolcreatedb, r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconnlimit,
    (SELECT string_agg(o, E'\\n' ORDER BY o COLLATE "C") FROM unnest(r.rolconfig) o),
    (SELECT string_agg(g.rolname || CASE WHEN m.admin_option THEN '*' ELSE '' END, ','
            ORDER BY g.rolname) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
      WHERE m.member = r.oid))
FROM pg_roles r WHERE r.oid IN (SELECT role FROM used) AND NOT r.rolsuper AND r.rolname !~ '^pg_'
"""

WHOLE_DATABASE_QUERIES = (
    EXTENSIONS, CASTS_AND_SERVERS, EVENT_TRIGGERS, PUBLICATIONS, DEFAULT_RIGHTS, LARGE_OBJECTS, DATABASE, ROLES,
    OTHER_COMMENTS, OTHER_LABELS,
)  # fmt: skip
