package kql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/provider/graphquery/kql"
)

const rows = `[
 {"name":"web-1","type":"vm","location":"eastus","tags":{"env":"prod","n":"10"},"properties":{"size":{"vm":"D2"},"disks":[{"gb":32},{"gb":64}],"count":2,"on":true}},
 {"name":"Web-2","type":"vm","location":"westus","tags":{"env":"test"},"properties":{"size":{"vm":"D4"},"disks":[],"count":10,"on":false}},
 {"name":"disk one","type":"disk","location":"eastus","tags":null,"properties":{"count":2}},
 {"name":"net","type":"vnet","location":"eastus","properties":{}}]`

var columns = []string{"name", "type", "location", "tags", "properties"}

func table(t testing.TB) (list []kql.Row) {
	t.Helper()
	if err := json.Unmarshal([]byte(rows), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRun(t *testing.T) {
	for _, c := range []struct{ query, want string }{
		{"Resources | where type == 'vm' | project name", `name; web-1; Web-2`},
		{"where type == 'VM' | project name", `name`},
		{"resources | WHERE type =~ \"VM\" | project name", `name; web-1; Web-2`},
		{"Resources | where type != 'vm' | project name", `name; disk one; net`},
		{"Resources | where name !~ 'WEB-2' | count", `Count; 3`},
		{"Resources | where type in ('disk', 'vnet') | project name", `name; disk one; net`},
		{"Resources | where type in~ ('DISK') | project name", `name; disk one`},
		{"Resources | where type !in ('vm') and type !in~ ('DISK') | project name", `name; net`},
		{"Resources | where name has 'WEB' | project name", `name; web-1; Web-2`},
		{"Resources | where name has 'we' or name has_cs 'one' | project name", `name; disk one`},
		{"Resources | where name !has 'web' | project name", `name; disk one; net`},
		{"Resources | where name contains 'B-' and name !contains '2' | project name", `name; web-1`},
		{"Resources | where name startswith 'web' and name endswith_cs '2' | project name", `name; Web-2`},
		{"Resources | where name startswith_cs 'web' | project name", `name; web-1`},
		{"Resources | where tags.env == 'prod' or properties['size'].vm == 'D4' | project name", `name; web-1; Web-2`},
		{"Resources | where properties.disks[1].gb == 64 | project name, properties.disks[0].gb", `name,properties_disks_gb; web-1,32`},
		{"Resources | where not(type == 'vm') and isnull(tags) | project name", `name; disk one; net`},
		{"Resources | where isnotempty(tags.env) and (type == 'x' or location == 'westus') | project upper = toupper(name)", `upper; WEB-2`},
		{"Resources | where properties.count > 2 | project name", `name; Web-2`},
		{"Resources | where properties.count <= 2 and properties.count >= 2.0 | project name", `name; web-1; disk one`},
		{"Resources | where properties.on == true | project name", `name; web-1`},
		{"Resources | where properties.on | project name", `name; web-1`},
		{"Resources | where toint(tags.n) == 10 and tags.n == 10 | project name", `name; web-1`},
		{"Resources | where properties.none == '' | count", `Count; 0`},
		{"Resources | where properties.none != 'x' | count", `Count; 4`},
		{"Resources | where properties.none < 5 | count", `Count; 0`},
		{"Resources | where tostring(properties.disks) contains '64' | count", `Count; 1`},
		{"Resources | extend n = array_length(properties.disks), twice = strcat(name, name) | where n == 2 | project n, twice", `n,twice; 2,web-1web-1`},
		{"Resources | extend a = name, b = a | project b | limit 1", `b; web-1`},
		{"Resources | project-away tags, properties, location, type | take 2", `name; web-1; Web-2`},
		{"Resources | order by name asc | project name", `name; Web-2; disk one; net; web-1`},
		{"Resources | sort by location, name desc | project name", `name; Web-2; web-1; net; disk one`},
		{"Resources | order by tolong(properties.count) asc | project name", `name; net; web-1; disk one; Web-2`},
		{"Resources | order by properties.count desc nulls first | project name", `name; net; Web-2; web-1; disk one`},
		{"Resources | top 1 by properties.count | project name", `name; Web-2`},
		{"Resources | summarize count() by type | order by count_ desc, type asc", `type,count_; vm,2; disk,1; vnet,1`},
		{"Resources | summarize total = count() by place = tolower(location) | order by total desc", `place,total; eastus,3; westus,1`},
		{"Resources | summarize count()", `count_; 4`},
		{"Resources | distinct location", `location; eastus; westus`},
		{"Resources // all of it\n| count // of them", `Count; 4`},
		{`Resources | where name == 'it\'s' or name == @'C:\' or name == "a\\b" | count`, `Count; 0`},
		{"Resources | project a = iff(type == 'vm', 1, 2), b = coalesce(tags.env, 'none') | limit 3", `a,b; 1,prod; 1,test; 2,none`},
		{"communitygalleryresources| where type == 'microsoft.compute/locations/communitygalleries' | where location == 'eastus' ", `name,type,location,tags,properties`},
	} {
		q, err := kql.Parse(c.query)
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		r, err := q.Run(columns, table(t))
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		lines := []string{strings.Join(r.Columns, ",")}
		for _, row := range r.Rows {
			var cells []string
			for _, name := range r.Columns {
				cells = append(cells, fmt.Sprint(row[name]))
			}
			lines = append(lines, strings.Join(cells, ","))
		}
		if got := strings.Join(lines, "; "); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.query, got, c.want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, c := range []struct{ query, part, at string }{
		{"", "empty", "1:1"},
		{"Resources |", "operator is expected", "1:12"},
		{"Resources | join (Resources) on id", "'join' is not supported", "1:13"},
		{"Resources | mv-expand x", "'mv' is not supported", "1:13"},
		{"Resources | project-rename a = b", "project-away", "1:21"},
		{"Resources | where nothing == 1", "named 'nothing'", "1:19"},
		{"Resources | project name | where type == 'vm'", "named 'type'", "1:34"},
		{"Resources | project-away name | order by name", "named 'name'", "1:42"},
		{"Resources\n| where ago(1) > 2", "'ago' is not supported", "2:9"},
		{"Resources | where name matches regex 'x'", "'|' is expected", "1:24"},
		{"Resources | where name == ", "value is expected", "1:27"},
		{"Resources | where (name == 'x'", "')' is expected", "1:31"},
		{"Resources | where name in 'x'", "'(' is expected", "1:27"},
		{"Resources | where name == 'x", "does not end", "1:27"},
		{`Resources | where name == 'x\q'`, "escape", "1:29"},
		{"Resources | limit -1", "whole number", "1:19"},
		{"Resources | limit 1.5", "whole number", "1:19"},
		{"Resources | limit x", "whole number", "1:19"},
		{"Resources | order name", "'by' is expected", "1:19"},
		{"Resources | summarize max(name)", "Only count()", "1:23"},
		{"Resources | where name ! 'x'", "not known", "1:24"},
		{"Resources | where tolower() == 'x'", "between 1 and 1", "1:19"},
		{"Resources | where 12x == 1", "malformed", "1:19"},
		{"Resources | where name == " + strings.Repeat("(", 60), "too deeply", ""},
		{"Resources | where name in (" + strings.Repeat("1,", 500) + "1)", "more than 400 values", ""},
		{"Resources" + strings.Repeat(" | limit 1", 80), "more than 64 operators", ""},
		{strings.Repeat("x", 17<<10), "longer than", ""},
		{"Resources | where name == '\xff'", "UTF-8", ""},
		{"Resources | order by name nulls 1", "'first' or 'last'", ""},
	} {
		q, err := kql.Parse(c.query)
		if err == nil {
			_, err = q.Run(columns, table(t))
		}
		fault, ok := errors.AsType[*kql.Error](err)
		if !ok || !strings.Contains(fault.Message, c.part) || c.at != "" && fmt.Sprintf("%d:%d", fault.Line, fault.Column) != c.at {
			t.Errorf("%.60s: %v", c.query, err)
		}
	}
}

// A query can neither make texts without end nor change the rows that it was given.
func TestBounds(t *testing.T) {
	source := "Resources | extend x = tostring(properties)" + strings.Repeat(" | extend x = strcat(x, x)", 60)
	q, err := kql.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	given := table(t)
	before, _ := json.Marshal(given)
	if r, err := q.Run(columns, given); err == nil {
		for _, row := range r.Rows {
			if s, _ := row["x"].(string); len(s) > 2<<20 {
				t.Errorf("%d bytes", len(s))
			}
		}
	}
	if after, _ := json.Marshal(given); string(after) != string(before) {
		t.Error("the rows were changed")
	}
}

// FuzzParse: whatever is written, the answer is a result or an *Error, and never a panic.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"Resources | where a.b['c'][0] =~ 'x' and not(b in~ (1, 'y')) | project d = tolower(e), f | order by d asc nulls last | take 3",
		"| count", "where !in", "Resources | summarize n=count() by type, location | top 2 by n", "x | project-away a,b | extend c = strcat(@'\\', \"\\n\")", "resources|where ['a b'] != -1.5"} {
		f.Add(seed)
	}
	list := table(f)
	f.Fuzz(func(t *testing.T, source string) {
		q, err := kql.Parse(source)
		if err == nil {
			_, err = q.Run(columns, list)
		}
		if _, ok := errors.AsType[*kql.Error](err); err != nil && !ok {
			t.Fatalf("%q: %v", source, err)
		}
	})
}
