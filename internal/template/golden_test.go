package template_test

import (
	"encoding/json"
	"strings"
	"testing"

	"vitrine/internal/template"
)

// Golden inputs and outputs, mostly those of the functions' documentation; TestFunctions has the older ones.
func TestMoreFunctions(t *testing.T) {
	dogs := `createArray(createObject('name','Evie','age',5,'tags',createArray('a','b')), createObject('name','Casper','age',3), createObject('name','Indy','age',2,'tags',createArray('b')), createObject('name','Kira','age',8))`
	for _, c := range []struct{ expression, want string }{
		// lambdas
		{`map(range(0, 3), lambda('i', mul(lambdaVariables('i'), 2)))`, `[0,2,4]`},
		{`map(createArray('a','b'), lambda('x', 'i', format('{0}{1}', lambdaVariables('x'), lambdaVariables('i'))))`, `["a0","b1"]`},
		{`map(createArray(1,2), lambda('x', map(createArray(10,20), lambda('y', add(lambdaVariables('x'), lambdaVariables('y'))))))`, `[[11,21],[12,22]]`},
		{`filter(` + dogs + `, lambda('dog', greaterOrEquals(lambdaVariables('dog').age, 5)))[1].name`, `"Kira"`},
		{`filter(createArray(1,2,3), lambda('x', 'i', equals(lambdaVariables('i'), 1)))`, `[2]`},
		{`filter(createArray(1), lambda('x', 1))`, `error:expects its lambda to give a value of type 'Boolean'. The value is of type 'Integer'`},
		{`reduce(createArray(5,3,2,8), 0, lambda('cur', 'next', add(lambdaVariables('cur'), lambdaVariables('next'))))`, `18`},
		{`reduce(createArray('a','b','c'), '', lambda('cur', 'next', 'i', if(equals(mod(lambdaVariables('i'), 2), 0), concat(lambdaVariables('cur'), lambdaVariables('next')), lambdaVariables('cur'))))`, `"ac"`},
		{`map(sort(` + dogs + `, lambda('a', 'b', less(lambdaVariables('a').age, lambdaVariables('b').age))), lambda('d', lambdaVariables('d').name))`, `["Indy","Casper","Evie","Kira"]`},
		{`toObject(createArray('Evie','Casper'), lambda('n', lambdaVariables('n')))`, `{"Evie":"Evie","Casper":"Casper"}`},
		{`toObject(createArray('Evie'), lambda('n', toLower(lambdaVariables('n'))), lambda('n', length(lambdaVariables('n'))))`, `{"evie":4}`},
		{`groupBy(createArray('foo','bar','baz'), lambda('x', substring(lambdaVariables('x'), 0, 1)))`, `{"f":["foo"],"b":["bar","baz"]}`},
		{`mapValues(createObject('foo','foo','bar','bar'), lambda('v', toUpper(lambdaVariables('v'))))`, `{"foo":"FOO","bar":"BAR"}`},
		{`map(createArray(1), 'x')`, `error:'map' expects its parameter '2' to be a lambda`},
		{`map('x', lambda('a', 1))`, `error:'map' expects its parameter '1' to be of type 'Array'. The provided value is of type 'String'`},
		{`map(createArray(1), lambda('a', 'b', 'c', 1))`, `error:to have 1 to 2 variables. It has 3`},
		{`lambda('x', 1)`, `error:'lambda' is only expected as an argument of a function that takes lambdas`},
		{`lambdaVariables('x')`, `error:names the lambda variable 'x', which no lambda around it declares`},
		{`map(createArray(1), lambda('x', variables('v')))`, `[["x","y"]]`},
		// addresses
		{`parseCidr('10.144.0.0/20')`, `{"network":"10.144.0.0","netmask":"255.255.240.0","broadcast":"10.144.15.255","firstUsable":"10.144.0.1","lastUsable":"10.144.15.254","cidr":20}`},
		{`parseCidr('fdad:3236:5555::/48')`, `{"network":"fdad:3236:5555::","netmask":"ffff:ffff:ffff::","firstUsable":"fdad:3236:5555::","lastUsable":"fdad:3236:5555:ffff:ffff:ffff:ffff:ffff","cidr":48}`},
		{`parseCidr('10.0.0.7/32').lastUsable`, `"10.0.0.7"`},
		{`parseCidr('0.0.0.0/0').broadcast`, `"255.255.255.255"`},
		{`parseCidr('10.0.0.0')`, `error:to be a range of IP addresses in CIDR notation`},
		{`map(range(0, 3), lambda('i', cidrSubnet('10.144.0.0/20', 24, lambdaVariables('i'))))`, `["10.144.0.0/24","10.144.1.0/24","10.144.2.0/24"]`},
		{`cidrSubnet('fdad:3236:5555::/48', 52, 4)`, `"fdad:3236:5555:4000::/52"`},
		{`cidrSubnet('10.0.0.0/24', 25, 2)`, `error:the index of a range of prefix length '25' within '10.0.0.0/24'`},
		{`cidrSubnet('10.0.0.0/24', 20, 0)`, `error:to be from 24 to 32`},
		{`map(range(0, 2), lambda('i', cidrHost('10.144.3.0/24', lambdaVariables('i'))))`, `["10.144.3.1","10.144.3.2"]`},
		{`cidrHost('10.144.3.0/24', 254)`, `error:the index of a host within '10.144.3.0/24'`},
		{`cidrHost('fdad:3236:5555:3030::/64', 0)`, `"fdad:3236:5555:3030::1"`},
		{`cidrHost('::/0', 9223372036854775807)`, `"::8000:0:0:0"`},
		// arrays and objects
		{`indexFromEnd(createArray('a','b','c'), 1)`, `"c"`},
		{`indexFromEnd(createArray('a'), 2)`, `error:array index '2' from the end is out of bounds`},
		{`tryIndexFromEnd(createArray('a'), 2)`, `null`},
		{`tryIndexFromEnd(createArray(createArray(1,2,3)), 1, createObject('value', 1, 'fromEnd', true()))`, `3`},
		{`tryIndexFromEnd(createArray(createArray(1,2,3)), 1, createObject('value', 1))`, `2`},
		{`tryGet(createArray('a'), 3)`, `null`},
		{`tryGet(null(), 'x')`, `null`},
		{`tryGet(1, 'x')`, `error:to be of type 'Array, Object'`},
		{`distinct(createArray(1, 2, 1, '1'))`, `[1,2,"1"]`},
		{`shallowMerge(createArray(createObject('a', createObject('x', 1)), createObject('a', createObject('y', 2))))`, `{"a":{"y":2}}`},
		{`shallowMerge(createArray(1))`, `error:expects an array of objects. An element is of type 'Integer'`},
		{`flatten(createArray(1))`, `error:expects an array of arrays`},
		{`createObject('a')`, `error:expects an even number of parameters`},
		{`createObject(1, 2)`, `error:expects its parameter '1' to be of type 'String'. The provided value is of type 'Integer'`},
		{`union(createArray(1), createObject())`, `error:expects its parameter '2' to be of type 'Array'. The provided value is of type 'Object'`},
		// numbers and formats
		{`float('3.0')`, `3`},
		{`float('1.5')`, `1.5`},
		{`float('x')`, `error:cannot convert the value of type 'String' to a number`},
		{`float('NaN')`, `error:cannot convert`},
		{`int(float('7.9'))`, `7`},
		{`format('{0:F1}|{0:N}|{0:P0}|{0:C}|{0:E2}|{0:G2}', float('1234.567'))`, `"1234.6|1,234.57|123,457 %|¤1,234.57|1.23E+003|1.2E+03"`},
		{`format('{0:F}|{0:0.0#}|{0:#,##0}|{0:000000}', -1234)`, `"-1234.00|-1234.0|-1,234|-001234"`},
		{`format('{0:0%}|{1:0.00;(0.00);none}|{2:0;(0);none}', float('0.25'), -2, 0)`, `"25%|(2.00)|none"`},
		{`format('{0:X4}|{0:x}|{0:D6}|{0:B}', 10)`, `"000A|a|000010|1010"`},
		{`format('{0:D2}', float('1.5'))`, `error:cannot format: the format 'D' takes integers only`},
		{`format('{0:Q}', 1)`, `error:the format 'Q' is not supported`},
		{`format('{1}', 'a')`, `error:refers to the missing argument '1'`},
		{`format('{0', 'a')`, `error:was given an invalid format string`},
		{`mod(1, 0)`, `error:divided by zero`},
		{`max()`, `error:function requires at least 1 argument(s) while 0 were provided`},
		// dates
		{`dateTimeAdd('2020-04-07 14:53:14Z', 'PT1H')`, `"2020-04-07T15:53:14Z"`},
		{`dateTimeAdd('x', 'PT1H')`, `error:to be a date and time of ISO 8601`},
		{`dateTimeAdd('2020-01-01', 'P')`, `error:to be a duration of ISO 8601`},
		{`dateTimeAdd('9999-12-31', 'P1D')`, `error:leaves the years 1 to 9999`},
		{`dateTimeFromEpoch(-62135596801)`, `error:expects seconds of the years 1 to 9999`},
		{`newGuid()`, `error:'newGuid' is not expected at this location`},
		// scopes and surroundings
		{`managementGroupResourceId('mg', 'Microsoft.Authorization/policyDefinitions', 'p')`, `"/providers/Microsoft.Management/managementGroups/mg/providers/Microsoft.Authorization/policyDefinitions/p"`},
		{`managementGroupResourceId('Microsoft.Authorization/policyDefinitions', 'p')`, `error:needs the name of a management group`},
		{`managementGroup()`, `error:is only valid in a deployment at the scope of a management group`},
		{`deployer()`, `{"objectId":"oid","tenantId":"11111111-1111-1111-1111-111111111111","userPrincipalName":"a@b"}`},
		{`deployment().properties.template.contentVersion`, `"1.0.0.0"`},
		{`deployment().properties.mode`, `"Incremental"`},
		{`pickZones('Microsoft.Compute', 'virtualMachines', 'westus2')`, `[]`},
		{`pickZones('Microsoft.Compute', 'virtualMachines', 'westus2', 9)`, `error:at most 3`},
		{`providers('Microsoft.Compute', 'disks').apiVersions[0]`, `"2024-01-01"`},
		{`providers('Nobody.Home')`, `error:names the provider or type 'Nobody.Home', which is not registered`},
		{`toLogicalZone('s', 'eastus', 'eastus-az1')`, `""`},
		{`toPhysicalZone('s', 'eastus', '1')`, `""`},
		{`toLogicalZones('s', 'eastus', createArray('eastus-az1', 'eastus-az2'))`, `["",""]`},
		{`toPhysicalZones('s', 'eastus', createArray())`, `[]`},
		{`toPhysicalZones('s', 'eastus', createArray(1))`, `error:expects an array of strings. An element is of type 'Integer'`},
		{`toPhysicalZones('s', 'eastus', '1')`, `error:expects its parameter '3' to be of type 'Array'`},
		{`toPhysicalZone('s', 'eastus', 1)`, `error:expects its parameter '3' to be of type 'String'`},
		{`externalInput('x', 'y')`, `error:The template function 'externalInput' is not supported by this installation: it is resolved by a tool before a deployment is sent`},
		{`roleDefinitions('Reader')`, `error:The template function 'roleDefinitions' is not supported by this installation: it is resolved by the Bicep compiler`},
		{`parseUri('https://Mystorage.blob.core.windows.net:8080/t/n.json?st=2025-05-09')`, `{"scheme":"https","host":"mystorage.blob.core.windows.net","port":8080,"path":"/t/n.json","query":"?st=2025-05-09"}`},
		{`parseUri('HTTPS://x:443')`, `{"scheme":"https","host":"x","port":null,"path":"/","query":""}`},
		{`parseUri('http://[::1]:443/a%2Fb')`, `{"scheme":"http","host":"[::1]","port":443,"path":"/a%2Fb","query":""}`},
		{`parseUri('/t/n.json')`, `error:it is no absolute URI`},
		{`parseUri('http://x:99999')`, `error:the port '99999' is none`},
		{`parseUri(1)`, `error:expects its parameter '1' to be of type 'String'`},
		{`buildUri(createObject('scheme', 'https', 'host', 'x', 'port', 8080, 'path', '/t', 'query', '?a=b'))`, `"https://x:8080/t?a=b"`},
		{`buildUri(createObject('scheme', 'https', 'host', 'x', 'port', 443, 'path', 't'))`, `"https://x/t"`},
		{`buildUri(parseUri('http://[::1]:443/a%2Fb?c=d%20e'))`, `"http://[::1]:443/a%2Fb?c=d%20e"`},
		{`buildUri(createObject('scheme', 'https', 'host', 'x'))`, `error:whose member 'path' is a string`},
		{`buildUri(createObject('scheme', 'https', 'host', 'x/y@z', 'path', '/'))`, `error:these make none`},
		{`buildUri(createObject('scheme', 'https', 'host', 'x', 'port', 70000, 'path', '/'))`, `error:from 0 to 65535`},
		{`buildUri(createObject('scheme', 'https', 'host', 'x', 'port', 'y', 'path', '/'))`, `error:from 0 to 65535`},
		{`buildUri('https://x')`, `error:expects its parameter '1' to be of type 'Object'`},
		{`fail('no such thing')`, `error:no such thing`},
		{`if(false(), fail('x'), 'y')`, `"y"`},
		{`references('x')`, `error:The resource 'x' is not defined in the template by a symbolic name`},
		{`reference('/x', '1', 'Half')`, `error:expects its parameter '3' to be 'Full' or 'Properties'`},
		{`guid()`, `error:requires at least 1 argument(s)`},
		{`base64ToString('%')`, `error:cannot use the value`},
		{`uri('x', 'y')`, `error:expects an absolute URI`},
		{`dataUriToString('x')`, `error:it is no data URI`},
		{`substring('abc', -1)`, `error:parameters out of range`},
		{`replace('a', '', 'b')`, `error:cannot replace an empty string`},
		{`padLeft('a', 5, 'xy')`, `error:expects one character`},
		{`concat(createObject())`, `error:to be of type 'String, Integer, Boolean'`},
	} {
		got := evaluate(t, c.expression)
		if want, isError := strings.CutPrefix(c.want, "error:"); isError && strings.Contains(got, want) || got == c.want {
			continue
		}
		t.Errorf("[%s]\n got %s\nwant %s", c.expression, got, c.want)
	}
}

// TestDocumentedFunctions: each function that Azure documents for templates, or that Bicep writes into them, is known, or refused by name.
func TestDocumentedFunctions(t *testing.T) {
	const unknownSays = "' is not valid. Please see"
	for name := range strings.FieldsSeq(`array concat contains createArray empty first flatten indexFromEnd indexOf intersection last lastIndexOf length max min
		range skip take tryGet tryIndexFromEnd union parseCidr cidrSubnet cidrHost coalesce equals greater greaterOrEquals less lessOrEquals
		dateTimeAdd dateTimeFromEpoch dateTimeToEpoch utcNow deployer deployment environment parameters variables filter groupBy map mapValues
		reduce sort toObject lambda lambdaVariables and bool false if not or true add copyIndex div float int mod mul sub createObject distinct items json null
		objectKeys shallowMerge extensionResourceId listAccountSas listKeys listSecrets managementGroupResourceId pickZones providers reference
		references resourceId resourceInfo subscriptionResourceId tenantResourceId toLogicalZone toLogicalZones toPhysicalZone toPhysicalZones
		managementGroup resourceGroup subscription tenant base64 base64ToJson base64ToString buildUri dataUri dataUriToString endsWith fail
		format guid join newGuid padLeft parseUri replace split startsWith string substring toLower toUpper trim uniqueString uri
		uriComponent uriComponentToString externalInput roleDefinitions`) {
		if got := evaluate(t, name+"()"); strings.Contains(got, unknownSays) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := evaluate(t, "noSuchFunction()"); !strings.Contains(got, unknownSays) {
		t.Errorf("an unknown function: %s", got)
	}
}

// outputs expands a document and returns its outputs as JSON, or the first fault.
func outputs(t *testing.T, doc, parameters string) string {
	t.Helper()
	p, errs := expand(t, doc, parameters)
	if errs != nil {
		return errs[0].Message
	}
	all, err := p.Outputs(state{})
	if err != nil {
		return err.Error()
	}
	values := map[string]json.RawMessage{}
	for name, o := range all {
		values[name] = o.Value
	}
	raw, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestUserFunctions(t *testing.T) {
	functions := func(members string) string {
		return document(`"functions":[{"namespace":"contoso","members":{` + members + `}}],"parameters":{"p":{"type":"string","defaultValue":"outer"}},"variables":{"v":1},
			"outputs":{"o":{"type":"string","value":"[contoso.f('x')]"}}`)
	}
	for name, c := range map[string]struct{ doc, want string }{
		"simple":        {functions(`"f":{"parameters":[{"name":"p","type":"string"}],"output":{"type":"string","value":"[concat(toLower(parameters('p')), '-', uniqueString('a'))]"}}`), `{"o":"x-`},
		"own arguments": {functions(`"f":{"parameters":[{"name":"q","type":"string"}],"output":{"type":"string","value":"[parameters('p')]"}}`), "The template parameter 'p' is not found"},
		"variables":     {functions(`"f":{"parameters":[{"name":"q","type":"string"}],"output":{"type":"string","value":"[variables('v')]"}}`), "'variables' is not expected at this location"},
		"reference":     {functions(`"f":{"parameters":[{"name":"q","type":"string"}],"output":{"type":"string","value":"[reference('x').y]"}}`), "'reference' is not expected at this location"},
		"default":       {functions(`"f":{"parameters":[{"name":"q","type":"string","defaultValue":"x"}],"output":{"type":"string","value":"x"}}`), "has a default value"},
		"type":          {functions(`"f":{"parameters":[{"name":"q","type":"int"}],"output":{"type":"string","value":"x"}}`), "was given an argument 'q' that is not valid"},
		"result":        {functions(`"f":{"parameters":[{"name":"q","type":"string"}],"output":{"type":"int","value":"x"}}`), "gives a value that is not valid"},
		"count":         {functions(`"f":{"parameters":[],"output":{"type":"string","value":"x"}}`), "'contoso.f': function requires 0 argument(s) while 1 were provided"},
		"calls another": {functions(`"f":{"parameters":[{"name":"q","type":"string"}],"output":{"type":"string","value":"[contoso.g(parameters('q'), 'z')]"}},"g":{"parameters":[{"name":"a","type":"string"},{"name":"b","type":"string"},{"name":"c","type":"string","nullable":true}],"output":{"type":"string","value":"[format('{0}{1}{2}', parameters('b'), parameters('a'), empty(parameters('c')))]"}}`), `{"o":"zxTrue"}`},
		"itself":        {functions(`"f":{"parameters":[{"name":"q","type":"string"}],"output":{"type":"string","value":"[contoso.f(parameters('q'))]"}}`), "nested deeper than 32 calls"},
		"no output":     {functions(`"f":{"parameters":[]}`), "needs an output with a type and a value"},
		"unknown":       {document(`"outputs":{"o":{"type":"string","value":"[contoso.f('x')]"}}`), "The template function 'contoso.f' is not valid"},
		"in a lambda":   {functions(`"f":{"parameters":[{"name":"q","type":"string"}],"output":{"type":"string","value":"[join(map(createArray(1), lambda('i', concat(parameters('q'), string(lambdaVariables('i'))))), '')]"}}`), `{"o":"x1"}`},
		"lambda around": {document(`"functions":[{"namespace":"contoso","members":{"f":{"parameters":[],"output":{"type":"string","value":"[lambdaVariables('x')]"}}}}],"outputs":{"o":{"type":"array","value":"[map(createArray('s'), lambda('x', contoso.f()))]"}}`), "which no lambda around it declares"},
		"two to the 32": {functions(doublingFunctions()), "too much work"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := outputs(t, c.doc, ""); !strings.Contains(got, c.want) {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// doublingFunctions call one another twice each, which is exponential work in little text.
func doublingFunctions() string {
	var b strings.Builder
	b.WriteString(`"f":{"parameters":[{"name":"q","type":"string"}],"output":{"type":"string","value":"[contoso.f0()]"}}`)
	for i := range 30 {
		b.WriteString(strings.NewReplacer("@", itoa(i), "#", itoa(i+1)).Replace(`,"f@":{"parameters":[],"output":{"type":"string","value":"[substring(concat(contoso.f#(), contoso.f#()), 0, 1)]"}}`))
	}
	b.WriteString(`,"f30":{"parameters":[],"output":{"type":"string","value":"x"}}`)
	return b.String()
}

func itoa(i int) string { b, _ := json.Marshal(i); return string(b) }

func TestTypes(t *testing.T) {
	doc := func(members string) string {
		return document(`"languageVersion":"2.0","definitions":{
			"port":{"type":"int","minValue":1,"maxValue":65535},
			"rule":{"type":"object","properties":{"port":{"$ref":"#/definitions/port"},"note":{"type":"string","nullable":true}},"additionalProperties":false},
			"tree":{"type":"object","properties":{"left":{"$ref":"#/definitions/tree","nullable":true}}},
			"loop":{"$ref":"#/definitions/ring"},"ring":{"$ref":"#/definitions/port"},
			"shape":{"type":"object","discriminator":{"propertyName":"kind","mapping":{"round":{"type":"object","properties":{"r":{"type":"int"}}},"flat":{"type":"object"}}}},
			"keys":{"type":"object","properties":{"key":{"type":"securestring"}}}},"resources":{},"parameters":{"p":` + members + `},"outputs":{"o":{"type":"bool","value":"[empty(string(parameters('p')))]"}}`)
	}
	for name, c := range map[string]struct{ parameter, value, want string }{
		"reference":        {`{"$ref":"#/definitions/port"}`, `80`, `false`},
		"bounds":           {`{"$ref":"#/definitions/port"}`, `65536`, `The value is greater than the maximum '65535'`},
		"through two":      {`{"$ref":"#/definitions/loop"}`, `0`, `less than the minimum '1'`},
		"nested":           {`{"$ref":"#/definitions/rule"}`, `{"port":"x"}`, `Expected 'Integer'. Actual 'String'. The parameter is 'p' at 'port'`},
		"missing":          {`{"$ref":"#/definitions/rule"}`, `{}`, `the required property 'port' is missing`},
		"additional":       {`{"$ref":"#/definitions/rule"}`, `{"port":1,"x":2}`, `the property 'x' is not allowed`},
		"nullable inside":  {`{"$ref":"#/definitions/rule"}`, `{"port":1,"note":null}`, `false`},
		"recursive":        {`{"$ref":"#/definitions/tree"}`, `{"left":{"left":{"left":1}}}`, `The parameter is 'p' at 'left.left.left'`},
		"array":            {`{"type":"array","items":{"$ref":"#/definitions/port"}}`, `[1,0]`, `less than the minimum`},
		"tuple":            {`{"type":"array","prefixItems":[{"type":"int"},{"type":"string"}],"items":false}`, `[1,"a",2]`, `has more than 2 elements`},
		"short tuple":      {`{"type":"array","prefixItems":[{"type":"int"},{"type":"string"}]}`, `[1]`, `has fewer than 2 elements`},
		"map":              {`{"type":"object","additionalProperties":{"type":"int"}}`, `{"a":"b"}`, `at 'a'`},
		"variant":          {`{"$ref":"#/definitions/shape"}`, `{"kind":"round","r":1}`, `false`},
		"wrong variant":    {`{"$ref":"#/definitions/shape"}`, `{"kind":"cube"}`, `the property 'kind' must be one of the discriminator's values`},
		"variant's member": {`{"$ref":"#/definitions/shape"}`, `{"kind":"round"}`, `the required property 'r' is missing`},
		"secret inside":    {`{"$ref":"#/definitions/keys"}`, `{"key":"hunter22"}`, `false`},
		"no definition":    {`{"$ref":"#/definitions/nope"}`, `1`, `refers to the definition '#/definitions/nope', which does not exist`},
	} {
		t.Run(name, func(t *testing.T) {
			got := outputs(t, doc(c.parameter), `{"p":{"value":`+c.value+`}}`)
			if !strings.Contains(got, c.want) {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			if strings.Contains(got, "hunter22") {
				t.Error("the secret is told")
			}
		})
	}
	if got := outputs(t, doc(`{"type":"int","nullable":true}`), ""); !strings.Contains(got, `"o":false`) { // string(null()) is "null"
		t.Errorf("nullable without a value: %s", got)
	}
	if got := outputs(t, document(`"languageVersion":"2.0","resources":{},"definitions":{"a":{"$ref":"#/definitions/b"},"b":{"$ref":"#/definitions/a"}}`), ""); !strings.Contains(got, "refers to itself") {
		t.Errorf("circle: %s", got)
	}
	p := mustExpand(t, doc(`{"$ref":"#/definitions/keys"}`), `{"p":{"value":{"key":"hunter22"}}}`)
	if echo := p.Echo()["p"]; echo.Value != nil || echo.Type != "Object" {
		t.Errorf("%+v", echo)
	}
}

// symbolic wraps resources by symbol.
func symbolic(resources, more string) string {
	return document(`"languageVersion":"2.0","resources":{` + resources + `}` + more)
}

func names(p *template.Plan) string {
	var all []string
	for _, r := range p.Resources {
		all = append(all, r.Name)
	}
	return strings.Join(all, " ")
}

func TestSymbolicNames(t *testing.T) {
	p := mustExpand(t, symbolic(`
		"vm":{"type":"M.N/a","name":"one","apiVersion":"1","dependsOn":["nics","old"],"properties":{"id":"[resourceId('M.N/b','nic1')]"}},
		"old":{"existing":true,"type":"M.N/c","name":"there","apiVersion":"7","dependsOn":["first"]},
		"first":{"type":"M.N/a","name":"zero","apiVersion":"1"},
		"nics":{"copy":{"name":"anything","count":2},"type":"M.N/b","name":"[format('nic{0}', copyIndex())]","apiVersion":"1"},
		"last":{"type":"M.N/a","name":"two","apiVersion":"1","properties":{"s":"[reference('vm').id]","t":"[reference('old', '7', 'full').id]","all":"[references('nics')[1].id]","one":"[reference('nics[0]').id]","info":"[resourceInfo('vm').type]"}}`,
		`,"outputs":{"o":{"type":"string","value":"[reference('old').apiVersion]"}}`), "")
	if got := names(p); got != "zero nic0 nic1 one two" {
		t.Errorf("order %s", got)
	}
	body, err := p.Body(4, state{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"properties":{"s":"` + groupID + `/providers/M.N/a/one","t":"` + groupID + `/providers/M.N/c/there","all":"` + groupID + `/providers/M.N/b/nic1","one":"` + groupID + `/providers/M.N/b/nic0","info":"M.N/a"}}`
	if string(body) != want {
		t.Errorf("got %s\nwant %s", body, want)
	}
	out, err := p.Outputs(state{})
	if err != nil || string(out["o"].Value) != `"7"` {
		t.Errorf("%v %v", out, err)
	}
	for name, c := range map[string]struct{ doc, want string }{
		"circle":        {symbolic(`"a":{"type":"M.N/a","name":"x","apiVersion":"1","dependsOn":["b"]},"b":{"existing":true,"type":"M.N/b","name":"y","apiVersion":"1","dependsOn":["a"]}`, ""), "Circular dependency"},
		"unknown":       {symbolic(`"a":{"type":"M.N/a","name":"x","apiVersion":"1","dependsOn":["b"]}`, ""), "The resource 'b' is not defined in the template"},
		"no short name": {symbolic(`"a":{"type":"M.N/a","name":"x","apiVersion":"1"},"b":{"type":"M.N/a","name":"y","apiVersion":"1","dependsOn":["x"]}`, ""), "The resource 'x' is not defined"},
		"twice":         {symbolic(`"a":{"type":"M.N/a","name":"x","apiVersion":"1"},"b":{"type":"M.N/a","name":"x","apiVersion":"1"}`, ""), "is defined multiple times"},
	} {
		if _, errs := expand(t, c.doc, ""); len(errs) == 0 || !strings.Contains(errs[0].Message, c.want) {
			t.Errorf("%s: %v, want %s", name, errs, c.want)
		}
	}
}

func TestScopes(t *testing.T) {
	at := func(e template.Env, doc string) (*template.Plan, []*template.Error) {
		parsed, errs := template.Parse(json.RawMessage(doc))
		if errs != nil {
			return nil, errs
		}
		return template.Expand(parsed, e, nil)
	}
	sub, tenant := env(), env()
	sub.ResourceGroup, sub.Location = template.ResourceGroup{}, "eastus"
	tenant.ResourceGroup, tenant.SubscriptionID, tenant.Location = template.ResourceGroup{}, "", "eastus"
	mg := tenant
	mg.ManagementGroup = "mg"
	nested := resource("Microsoft.Resources/deployments", "n", `"subscriptionId":"s2","resourceGroup":"g2","properties":{}`)
	for name, c := range map[string]struct {
		env       template.Env
		doc, want string
	}{
		"group in subscription":  {sub, resources(resource("Microsoft.Resources/resourceGroups", "g", "")), "/subscriptions/" + subscriptionID + "/resourceGroups/g"},
		"role in subscription":   {sub, resources(resource("Microsoft.Authorization/roleAssignments", "r", "")), "/subscriptions/" + subscriptionID + "/providers/Microsoft.Authorization/roleAssignments/r"},
		"management group":       {tenant, resources(resource("Microsoft.Management/managementGroups", "m", "")), "/providers/Microsoft.Management/managementGroups/m"},
		"nested from tenant":     {tenant, resources(nested), "/subscriptions/s2/resourceGroups/g2/providers/Microsoft.Resources/deployments/n"},
		"nested to tenant":       {sub, resources(resource("Microsoft.Resources/deployments", "n", `"scope":"/","properties":{}`)), "/providers/Microsoft.Resources/deployments/n"},
		"nested to management":   {tenant, resources(resource("Microsoft.Resources/deployments", "n", `"scope":"Microsoft.Management/managementGroups/m","properties":{}`)), "/providers/Microsoft.Management/managementGroups/m/providers/Microsoft.Resources/deployments/n"},
		"in a management group":  {mg, resources(resource("Microsoft.Authorization/policyDefinitions", "p", "")), "/providers/Microsoft.Management/managementGroups/mg/providers/Microsoft.Authorization/policyDefinitions/p"},
		"group without":          {tenant, resources(resource("Microsoft.Resources/deployments", "n", `"resourceGroup":"g","properties":{}`)), "error:but no subscription"},
		"resourceGroup() of sub": {sub, resources(resource("M.N/a", "[resourceGroup().name]", "")), "error:only valid in a deployment to a resource group"},
		"subscription() of mg":   {mg, resources(resource("M.N/a", "[subscription().id]", "")), "error:not valid in a deployment at the scope of a tenant or a management group"},
		"location of deployment": {sub, resources(resource("Microsoft.Resources/resourceGroups", "[deployment().location]", "")), "/subscriptions/" + subscriptionID + "/resourceGroups/eastus"},
		"managementGroup()":      {mg, resources(resource("M.N/a", "[managementGroup().name]", "")), "/providers/Microsoft.Management/managementGroups/mg/providers/M.N/a/mg"},
	} {
		p, errs := at(c.env, c.doc)
		want, isError := strings.CutPrefix(c.want, "error:")
		switch {
		case isError && (len(errs) == 0 || !strings.Contains(errs[0].Message, want)):
			t.Errorf("%s: %v, want %s", name, errs, want)
		case !isError && (p == nil || p.Resources[0].ID != want):
			t.Errorf("%s: %v %v, want %s", name, p, errs, want)
		}
	}
}

// The template itself is at hand in every expression, and costs nothing until it is looked at.
func TestDeploymentIsCheap(t *testing.T) {
	p := mustExpand(t, document(`"metadata":{"long":"`+strings.Repeat("x", 400_000)+`"},"resources":[`+resource("M.N/a", "[concat(deployment().name, copyIndex())]", `"copy":{"name":"l","count":800}`)+`]`), "")
	if len(p.Resources) != 800 || p.Resources[799].Name != "d1799" {
		t.Errorf("%d resources", len(p.Resources))
	}
	if got := evaluate(t, `createArray(`+strings.TrimSuffix(strings.Repeat(`deployment(),`, 50), ",")+`)[0].name`); got != `"d1"` {
		t.Errorf("%s", got)
	}
}
