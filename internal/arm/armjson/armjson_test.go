package armjson_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/arm/armjson"
)

type disk struct {
	OSType  string            `json:"osType" arm:"enum=Windows|Linux,required,immutable"`
	SizeGB  int               `json:"diskSizeGB"`
	On      *bool             `json:"on"`
	State   string            `json:"diskState" arm:"readonly"`
	Key     string            `json:"key" arm:"secret"`
	Path    string            `json:"path" arm:"private"`
	Source  *source           `json:"source"`
	Regions []source          `json:"regions"`
	Tags    map[string]string `json:"tags"`
	Tier    string            `json:"tier" arm:"default=P1"`
	More    armjson.Unknown   `json:"-"`
}

type source struct {
	ID   string          `json:"id" arm:"immutable"`
	Lun  int             `json:"lun" arm:"always"`
	More armjson.Unknown `json:"-"`
}

func TestDecodeThenWire(t *testing.T) {
	for _, c := range []struct{ name, in, wire, faults string }{
		{"case and enum", `{"OSTYPE":"linux","DiskSizeGb":"30"}`, `{"osType":"Linux","diskSizeGB":30,"tier":"P1"}`, ""},
		{"null is absent", `{"osType":"Linux","source":null,"x":null}`, `{"osType":"Linux","tier":"P1"}`, ""},
		{"unknown kept", `{"osType":"Linux","z":[1, 2],"source":{"id":"a","q":1}}`, `{"osType":"Linux","source":{"id":"a","lun":0,"q":1},"tier":"P1","z":[1, 2]}`, ""},
		{"server's own dropped", `{"osType":"Linux","diskState":"x","path":"/etc","key":"s"}`, `{"osType":"Linux","tier":"P1"}`, ""},
		{"false is said", `{"osType":"Linux","on":false,"tags":{}}`, `{"osType":"Linux","on":false,"tags":{},"tier":"P1"}`, ""},
		{"every fault", `{"osType":"BeOS","diskSizeGB":"big","regions":[{"lun":true}]}`, "", "d.osType d.diskSizeGB d.regions[0].lun"},
		{"required", `{"tier":"P9"}`, "", "d.osType"},
		{"wrong shapes", `{"osType":7,"source":[],"regions":{},"tags":"x"}`, "", "d.osType d.source d.regions d.tags"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d disk
			var at []string
			for _, f := range armjson.Decode([]byte(c.in), &d, "d") {
				if len(at) == 0 || at[len(at)-1] != f.Target {
					at = append(at, f.Target)
				}
			}
			if got := strings.Join(at, " "); !strings.HasPrefix(got, c.faults) || c.faults == "" && got != "" {
				t.Fatalf("faults at %q, want %q", got, c.faults)
			}
			if c.faults != "" {
				return
			}
			wire, err := armjson.Wire(&d)
			if err != nil || string(wire) != c.wire {
				t.Fatalf("wire %s (%v), want %s", wire, err, c.wire)
			}
		})
	}
}

func TestStoreKeepsEverything(t *testing.T) {
	d := disk{OSType: "Linux", State: "Attached", Key: "sealed", Path: "p", Source: &source{ID: "a"}}
	raw, err := armjson.Store(&d)
	if err != nil {
		t.Fatal(err)
	}
	var back disk
	if err := armjson.Load(raw, &back); err != nil {
		t.Fatal(err)
	}
	if back.State != "Attached" || back.Key != "sealed" || back.Path != "p" || back.Source.ID != "a" {
		t.Fatalf("lost something: %+v", back)
	}
}

func TestMergeCarryChanged(t *testing.T) {
	prev := disk{OSType: "Linux", SizeGB: 3, State: "S", Path: "p", Source: &source{ID: "a", Lun: 2}}
	next := prev
	next.Source = &source{ID: "a", Lun: 2}
	if f := armjson.Merge([]byte(`{"diskSizeGB":null,"source":{"lun":5}}`), &next, ""); f != nil {
		t.Fatal(f)
	}
	if next.SizeGB != 0 || next.Source.Lun != 5 || next.Source.ID != "a" || prev.Source.Lun != 2 {
		t.Fatalf("merge: %+v %+v", next, next.Source)
	}
	put := disk{OSType: "Windows", Source: &source{}}
	armjson.Carry(&prev, &put)
	if put.State != "S" || put.Path != "p" {
		t.Fatalf("carry: %+v", put)
	}
	faults := armjson.Changed(&prev, &put, "d")
	if len(faults) != 1 || faults[0].Target != "d.osType" || faults[0].Status != 409 {
		t.Fatalf("changed: %v", faults)
	}
	if put.Source.ID != "a" {
		t.Fatal("an absent immutable member was not filled in")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"osType":"linux","source":{"id":"x"},"a":[{}]}`))
	f.Add([]byte(`{"a":`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d disk
		if len(armjson.Decode(raw, &d, "")) > 0 {
			return
		}
		if _, err := armjson.Wire(&d); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAnAbsentObjectLacksWhatItRequires(t *testing.T) {
	type inner struct {
		Must string `json:"must" arm:"required"`
		Kind string `json:"kind" arm:"default=usual"`
	}
	type optional struct {
		Must string `json:"must" arm:"required"`
	}
	type model struct {
		Properties inner     `json:"properties"`
		Extra      *optional `json:"extra"`
	}
	for _, body := range []string{`{}`, `{"properties":null}`, `{"properties":{}}`, `{"PROPERTIES":{"kind":"usual"}}`} {
		var m model
		faults := armjson.Decode([]byte(body), &m, "")
		if len(faults) != 1 || faults[0].Target != "properties.must" || m.Properties.Kind != "usual" || m.Extra != nil {
			t.Errorf("%s: %v, %+v", body, faults, m)
		}
	}
}

func TestKindsOfValues(t *testing.T) {
	type item struct {
		N int `json:"n"`
	}
	type model struct {
		Items []item            `json:"items"`
		Tags  map[string]string `json:"tags"`
		On    bool              `json:"on"`
		Ratio float64           `json:"ratio"`
		Count int64             `json:"count"`
		Ptr   *item             `json:"ptr"`
		Raw   json.RawMessage   `json:"raw"`
	}
	var m model
	in := `{"items":[{"n":1},{"N":"2"}],"tags":{"b":"2","a":"<1>"},"on":"TRUE","ratio":"1.5","count":"3.0","ptr":{"n":4},"raw":[1, 2]}`
	if faults := armjson.Decode([]byte(in), &m, ""); len(faults) > 0 {
		t.Fatal(faults)
	}
	out, err := armjson.Wire(&m)
	want := `{"items":[{"n":1},{"n":2}],"tags":{"a":"<1>","b":"2"},"on":true,"ratio":1.5,"count":3,"ptr":{"n":4},"raw":[1,2]}`
	if err != nil || string(out) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
	for body, target := range map[string]string{`{"items":{}}`: "items", `{"items":[{"n":1},{"n":"x"}]}`: "items[1].n", `{"tags":[]}`: "tags", `{"tags":{"a":1}}`: "tags.a",
		`{"on":"maybe"}`: "on", `{"ratio":"x"}`: "ratio", `{"count":1.5}`: "count", `{"ptr":7}`: "ptr", `{"count":99999999999999999999}`: "count"} {
		var m model
		faults := armjson.Decode([]byte(body), &m, "")
		if len(faults) != 1 || faults[0].Target != target || faults[0].Status != 400 {
			t.Errorf("%s: %v", body, faults)
		}
	}
	err = armjson.Load([]byte(`[]`), &m)
	if _, visible := errors.AsType[*arm.Error](err); err == nil || visible {
		t.Errorf("a broken document would be shown as the caller's fault: %v", err)
	}
}
