def test_it_runs(connect):
    with connect() as c, c.cursor() as cur:
        cur.execute("select * from films order by id")
        print(cur.fetch_arrow_table())
        cur.execute("select title from films where id = ?", (2,))
        print(cur.fetchall())
        print(c.adbc_get_objects(depth="all").read_all().to_pylist())
        print(c.adbc_get_info())
        print(c.adbc_get_table_types())
        print(c.adbc_get_table_schema("films"))
