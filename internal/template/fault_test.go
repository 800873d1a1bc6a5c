package template_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"vitrine/internal/template"
)

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct{ doc, want string }{
		"no schema":    {`{"contentVersion":"1","resources":[]}`, "Required property '$schema' not found in JSON. Path 'properties.template', line 1, position 1."},
		"no object":    {`[]`, "must be of type 'Object'"},
		"member":       {document(`"resource":[]`), "Could not find member 'resource' on object of type 'Template'."},
		"no name":      {resources(`{"type":"a/b","apiVersion":"1"}`), "Required property 'name' not found in JSON. Path 'properties.template.resources[0]'"},
		"segments":     {resources(resource("M.N/a/b", "x", "")), "The template resource 'x' for type 'M.N/a/b' at line '1' and column"},
		"double":       {resources(resource("M.N/a", "x", ""), resource("m.n/A", "X", "")), "The resource 'm.n/A/X' at line '1' and column"},
		"dependsOn":    {resources(resource("M.N/a", "x", `"dependsOn":["[resourceId('M.N/v/s', 'p', 'c')]"]`)), "The resource 'M.N/v/s/p/c' is not defined in the template."},
		"ambiguous":    {resources(resource("M.N/a", "x", ""), resource("M.N/b", "x", ""), resource("M.N/c", "y", `"dependsOn":["x"]`)), "the name of several resources"},
		"circle":       {resources(resource("M.N/a", "x", `"dependsOn":["y"]`), resource("M.N/a", "y", `"dependsOn":["x"]`)), "Circular dependency detected on resource: '" + groupID + "/providers/M.N/a/x'."},
		"itself":       {resources(resource("M.N/a", "x", `"dependsOn":["x"]`)), "Circular dependency"},
		"variables":    {document(`"variables":{"a":"[variables('b')]","b":"[variables('a')]"}`), "circular reference"},
		"late name":    {resources(resource("M.N/a", "[reference('x').y]", "")), "The template language function 'reference' is not expected at this location."},
		"late count":   {resources(resource("M.N/a", "x", `"copy":{"name":"l","count":"[reference('y').n]"}`)), "is not expected at this location"},
		"late default": {document(`"parameters":{"p":{"type":"string","defaultValue":"[reference('y').n]"}}`), "is not expected at this location"},
		"condition":    {resources(resource("M.N/a", "x", `"condition":"yes"`)), "the condition must be of type 'Boolean'"},
		"count":        {resources(resource("M.N/a", "x", `"copy":{"name":"l","count":801}`)), "an integer from 0 to 800"},
		"mode":         {resources(resource("M.N/a", "x", `"copy":{"name":"l","count":1,"mode":"odd"}`)), "neither 'parallel' nor 'serial'"},
		"type":         {document(`"parameters":{"p":{"type":"date"}}`), "has the type 'date'"},
		"parameter":    {document(`"variables":{"v":"[parameters('q')]"}`), "The template variable 'v' at line '1' and column '138' is not valid: The template parameter 'q' is not found."},
		"symbolic":     {document(`"languageVersion":"2.0"`), "'resources' must be of type 'Object' in a template of language version 2.0"},
		"language":     {document(`"languageVersion":"3.0"`), "languageVersion '3.0' is not supported"},
		"extensions":   {document(`"extensions":{}`), "the section 'extensions' of templates is not supported"},
		"existing":     {resources(resource("M.N/a", "x", `"existing":true`)), "'existing' needs a template of language version 2.0"},
		"function":     {resources(resource("M.N/a", "x", `"properties":{"p":["[foo('x')]"]}`)), "The template resource 'x' at line '1' and column '206' is not valid: The template function 'foo' is not valid."},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs := expand(t, c.doc, "")
			if len(errs) == 0 || !strings.Contains(errs[0].Message, c.want) || errs[0].Code != template.CodeInvalidTemplate {
				t.Errorf("got %v\nwant %s", errs, c.want)
			}
		})
	}
}

func TestFaultPosition(t *testing.T) {
	doc := "{\n \"$schema\": \"s\", \"contentVersion\": \"1\",\n \"resources\": [\n  {\"type\":\"M.N/a\",\"name\":\"x\",\"apiVersion\":\"1\",\n   \"properties\": {\"p\": [1, \"[foo()]\"]}}]}"
	_, errs := expand(t, doc, "")
	if len(errs) != 1 || errs[0].Line != 5 || errs[0].Position != 28 || errs[0].Path != "properties.template.resources[0].properties.p[1]" {
		t.Errorf("%+v", errs[0])
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	_, errs := expand(t, document(`"variables":{"a":"[foo()]","b":"[bar()]"}`), "")
	if len(errs) != 2 {
		t.Errorf("%d faults: %v", len(errs), errs)
	}
}

// Templates made to eat memory or time are refused, quickly.
func TestBounds(t *testing.T) {
	doubling := func(expression string) string {
		parts := []string{`"v0":"xxxxxxxxxxxxxxxx"`}
		for i := range 40 {
			parts = append(parts, fmt.Sprintf(`"v%d":%s`, i+1, strings.ReplaceAll(expression, "@", fmt.Sprintf("variables('v%d')", i))))
		}
		return document(`"variables":{` + strings.Join(parts, ",") + `}`)
	}
	many := func(n int, entry string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprintf(entry, i)
		}
		return strings.Join(parts, ",")
	}
	for name, doc := range map[string]string{
		"text doubles":      doubling(`"[concat(@, @)]"`),
		"arrays double":     doubling(`"[createArray(@, @)]"`),
		"literals double":   doubling(`{"a":"[@]","b":"[@]"}`),
		"deep expression":   document(`"variables":{"v":"[` + strings.Repeat("toLower(", 500) + "'x'" + strings.Repeat(")", 500) + `]"}`),
		"long expression":   document(`"variables":{"v":"[concat('` + strings.Repeat("x", 25000) + `')]"}`),
		"deep JSON":         document(`"variables":{"v":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`),
		"parameters":        document(`"parameters":{` + many(257, `"p%d":{"type":"int","defaultValue":1}`) + `}`),
		"outputs":           document(`"outputs":{` + many(65, `"p%d":{"type":"int","value":1}`) + `}`),
		"resources":         resources(many(801, `{"type":"M.N/a","name":"x%d","apiVersion":"1"}`)),
		"copies":            resources(resource("M.N/a", "[concat('x', copyIndex())]", `"copy":{"name":"l","count":500}`), resource("M.N/b", "[concat('x', copyIndex())]", `"copy":{"name":"m","count":500}`)),
		"nested copies":     resources(resource("M.N/a", "[concat('x', copyIndex())]", `"copy":{"name":"l","count":800},"properties":{"copy":[{"name":"p","count":800,"input":{"copy":[{"name":"q","count":800,"input":1}]}}]}`)),
		"split":             document(`"variables":{"s":"[padLeft('x', 4000000)]","v":"[split(variables('s'), map(range(0, 10000), lambda('i', concat('a', string(lambdaVariables('i'))))))]"}`),
		"union":             document(`"variables":{"s":"[padLeft('x', 32000)]","l":"[map(range(0, 1500), lambda('i', concat(variables('s'), string(lambdaVariables('i')))))]","v":"[length(union(variables('l'), variables('l')))]"}`),
		"lambdas":           document(`"variables":{"v":"[map(range(0, 10000), lambda('x', map(range(0, 10000), lambda('y', 1))))]"}`),
		"reduce":            document(`"variables":{"v":"[reduce(range(0, 10000), 'x', lambda('a', 'b', concat(lambdaVariables('a'), lambdaVariables('a'))))]"}`),
		"allowed values":    document(`"parameters":{"p":{"type":"array","allowedValues":[` + many(60000, `"v%d"`) + `],"defaultValue":[` + many(60000, `"w%d"`) + `]}}`),
		"nullable members":  document(`"languageVersion":"2.0","resources":{},"parameters":{"p":{"type":"array","items":{"type":"object","properties":{` + many(20000, `"m%d":{"type":"int","nullable":true}`) + `}},"defaultValue":[` + strings.Repeat("{},", 20000) + `{}]}}`),
		"functions of many": functionsOfMany(many),
		"depth by variable": doubling(`"[createArray(createArray(createArray(createArray(@))))]"`),
	} {
		t.Run(name, func(t *testing.T) {
			start := spent(t)
			if _, errs := expand(t, doc, ""); len(errs) == 0 {
				t.Error("accepted")
			}
			if d := spent(t) - start; d > 10*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// functionsOfMany calls, for each of many elements, a function whose parameter's type leads to a large definition.
func functionsOfMany(many func(int, string) string) string {
	return document(`"languageVersion":"2.0","resources":{},"definitions":{"big":{"type":"object","properties":{` + many(20000, `"m%d":{"type":"int","nullable":true}`) + `}}},
		"functions":[{"namespace":"n","members":{"f":{"parameters":[{"name":"p","type":"array","items":{"$ref":"#/definitions/big"}}],"output":{"type":"int","value":1}}}}],
		"variables":{"v":"[map(range(0, 10000), lambda('i', n.f(createArray(createObject()))))]"}`)
}

// spent is the processor time of this process: the clock on the wall says nothing on a busy host.
func spent(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{`concat('a', copyIndex())`, `reference('x').y[0]`, `if(equals(1,2),'a',null())`, `format('{0,9:D3}', 1)`, `split('a,b', createArray(','))`, `range(0,99)`, `substring('abc',1)`, `dateTimeAdd('2020-01-01','P1D','o')`,
		`map(range(0,9),lambda('x','i',add(lambdaVariables('x'),lambdaVariables('i'))))`, `sort(createArray(2,1),lambda('a','b',less(lambdaVariables('a'),lambdaVariables('b'))))`,
		`format('{0:#,##0.00;(0)}|{1:E3}', float('1.5'), -2)`, `cidrHost('fd00::/64', 9)`, `parseCidr('10.0.0.0/31')`, `tryGet(json('{"a":[1]}'), 'a', createObject('value',1,'fromEnd',true()))`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		quoted, err := json.Marshal("[" + expression + "]")
		if err != nil {
			t.Fatal(err)
		}
		doc := document(`"outputs":{"o":{"type":"string","value":` + string(quoted) + `}},"resources":[` +
			`{"type":"M.N/a","name":"x","apiVersion":"1","copy":{"name":"l","count":1},"properties":{"v":` + string(quoted) + `}}]`)
		p, errs := expand(t, doc, "")
		if errs != nil {
			return
		}
		_, _ = p.Outputs(state{})
		if b, err := p.Body(0, state{}); err == nil && !json.Valid(b) {
			t.Errorf("invalid JSON %s", b)
		}
	})
}
