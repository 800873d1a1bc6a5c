package template_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"vitrine/internal/template"
	"vitrine/internal/template/expr"
)

const (
	subscriptionID = "00000000-0000-0000-0000-00000000aaaa"
	groupID        = "/subscriptions/" + subscriptionID + "/resourceGroups/rg"
)

func env() template.Env {
	return template.Env{
		TenantID:         "11111111-1111-1111-1111-111111111111",
		SubscriptionID:   subscriptionID,
		SubscriptionName: "Sub Two",
		ResourceGroup:    template.ResourceGroup{Name: "rg", Location: "eastus", Tags: map[string]string{"b": "2", "a": "1"}},
		DeploymentName:   "d1",
		Now:              time.Date(2026, 11, 22, 3, 4, 5, 678900000, time.UTC),
		Seed:             "seed",
		Deployer:         expr.Deployer{ObjectID: "oid", TenantID: "11111111-1111-1111-1111-111111111111", Name: "a@b"},
		Providers: func(namespace, typ string) any {
			if namespace != "Microsoft.Compute" {
				return nil
			}
			return map[string]any{"resourceType": typ, "apiVersions": []string{"2024-01-01"}}
		},
	}
}

// document wraps parts into a template.
func document(parts string) string {
	if !strings.Contains(parts, `"resources"`) {
		parts += `, "resources": []`
	}
	return `{"$schema":"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#","contentVersion":"1.0.0.0",` + parts + `}`
}

func expand(t testing.TB, doc, parameters string) (*template.Plan, []*template.Error) {
	t.Helper()
	parsed, errs := template.Parse(json.RawMessage(doc))
	if errs != nil {
		return nil, errs
	}
	return template.Expand(parsed, env(), json.RawMessage(parameters))
}

func mustExpand(t testing.TB, doc, parameters string) *template.Plan {
	t.Helper()
	p, errs := expand(t, doc, parameters)
	for _, e := range errs {
		t.Fatalf("%v (line %d, position %d, %s)", e, e.Line, e.Position, e.Path)
	}
	return p
}

// evaluate evaluates an expression in an output and returns JSON, or the error's text.
func evaluate(t testing.TB, expression string) string {
	t.Helper()
	quoted, err := json.Marshal("[" + expression + "]")
	if err != nil {
		t.Fatal(err)
	}
	doc := document(`"parameters":{"p":{"type":"string","defaultValue":"pv"},"o":{"type":"object","defaultValue":{"A":1,"b":{"c":[1,2,{"d":null}]}}}},
		"variables":{"v":["x","y"],"obj":{"name":"n","big":9007199254740993,"f":1.50}},
		"outputs":{"x":{"type":"object","value":{"v":` + string(quoted) + `}}}`)
	p, errs := expand(t, doc, "")
	if errs != nil {
		return errs[0].Message
	}
	out, err := p.Outputs(state{})
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(out["x"].Value), `{"v":`), "}")
}

// state is a Runtime that answers what it was asked.
type state struct{}

func (state) Reference(id, apiVersion string, full bool) (any, error) {
	if strings.HasSuffix(id, "/absent") {
		return nil, errAbsent
	}
	return map[string]any{"id": id, "apiVersion": apiVersion, "full": full, "identity": map[string]any{"principalId": "pid"}}, nil
}

func (state) List(function, id, apiVersion string, body any) (any, error) {
	return json.RawMessage(fmt.Sprintf(`{"function":%q,"id":%q,"keys":[{"value":"k"}]}`, function, id)), nil
}

var errAbsent = fmt.Errorf("absent")

func TestFunctions(t *testing.T) {
	for _, c := range []struct{ expression, want string }{
		{`concat('a', 1, true(), parameters('P'))`, `"a1Truepv"`},
		{`concat(variables('v'), createArray(1))`, `["x","y",1]`},
		{`concat('it''s', ' ', 'ok')`, `"it's ok"`},
		{`format('{0}-{1:D3}|{2,4}|{2,-3}|{{}}|{3:N0}|{4:x}', 'a', 7, 'z', 1234567, 255)`, `"a-007|   z|z  |{}|1,234,567|ff"`},
		{`format('{0:000}', 7)`, `"007"`},
		{`resourceId('Microsoft.Network/virtualNetworks/subnets', 'v', 's')`, `"` + groupID + `/providers/Microsoft.Network/virtualNetworks/v/subnets/s"`},
		{`resourceId('other', 'Microsoft.Network/virtualNetworks', 'v')`, `"/subscriptions/` + subscriptionID + `/resourceGroups/other/providers/Microsoft.Network/virtualNetworks/v"`},
		{`resourceId('S', 'other', 'Microsoft.Network/virtualNetworks', 'v')`, `"/subscriptions/S/resourceGroups/other/providers/Microsoft.Network/virtualNetworks/v"`},
		{`resourceId('Microsoft.Network/virtualNetworks', 'v', 's')`, `error:requires '1' resource name argument(s)`},
		{`subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'g')`, `"/subscriptions/` + subscriptionID + `/providers/Microsoft.Authorization/roleDefinitions/g"`},
		{`tenantResourceId('Microsoft.Authorization/roleDefinitions', 'g')`, `"/providers/Microsoft.Authorization/roleDefinitions/g"`},
		{`extensionResourceId('/subscriptions/S', 'Microsoft.Authorization/locks', 'l')`, `"/subscriptions/S/providers/Microsoft.Authorization/locks/l"`},
		{`parameters('o').B.C[2].d`, `null`},
		{`parameters('o')['b'].c[add(0,1)]`, `2`},
		{`parameters('o').zz`, `error:The language expression property 'zz' doesn't exist, available properties are 'A, b'.`},
		{`variables('v')[2]`, `error:The language expression property array index '2' is out of bounds.`},
		{`variables('obj')`, `{"name":"n","big":9007199254740993,"f":1.50}`},
		{`variables('nope')`, `error:The template variable 'nope' is not found.`},
		{`reference(resourceId('Microsoft.X/y','z'), '2020-01-01').id`, `"` + groupID + `/providers/Microsoft.X/y/z"`},
		{`reference('/subscriptions/S/resourceGroups/r/providers/Microsoft.Compute/virtualMachines/v', '2019-07-01', 'Full').identity.principalId`, `"pid"`},
		{`reference('nothing').id`, `error:The resource 'nothing' is not defined in the template.`},
		{`reference(resourceId('Microsoft.X/y','absent'), '2020-01-01')`, `error:absent`},
		{`listKeys(resourceId('Microsoft.X/y','z'), '2020-01-01').keys[0].value`, `"k"`},
		{`listAccountSas('/x', '2020-01-01', createObject('a', 1)).function`, `"listAccountSas"`},
		{`resourceGroup()`, `{"id":"` + groupID + `","name":"rg","type":"Microsoft.Resources/resourceGroups","location":"eastus","tags":{"a":"1","b":"2"},"properties":{"provisioningState":"Succeeded"}}`},
		{`subscription().displayName`, `"Sub Two"`},
		{`tenant().tenantId`, `"11111111-1111-1111-1111-111111111111"`},
		{`deployment().name`, `"d1"`},
		{`environment().suffixes.storage`, `"core.windows.net"`},
		{`uniqueString('test')`, `"rbgf3xv4ufgzg"`},
		{`uniqueString('hello', 'world')`, `"a7wkljktk6wne"`},
		{`uniqueString('foo', 'bar', 'baz')`, `"xzi4ioaxtmth4"`},
		{`uniqueString('/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/my-rg')`, `"bmg7c6xu4tw46"`},
		{`uniqueString('/subscriptions/12345678-1234-1234-1234-123456789012/resourceGroups/my-rg', 'Microsoft.Storage/storageAccounts')`, `"z22rah77jfqry"`},
		{`equals(guid('a', 'b'), guid('a-b'))`, `true`},
		{`guid('asdf')`, `"228d27cc-6fdb-5934-b7ac-1efccebade04"`},
		{`toLower('AbC')`, `"abc"`},
		{`toUpper('AbC')`, `"ABC"`},
		{`substring('one two three', 4, 3)`, `"two"`},
		{`substring('abc', 2, 5)`, `error:parameters out of range`},
		{`replace('123-123', '-', '')`, `"123123"`},
		{`split('one;two,three', createArray(',', ';'))`, `["one","two","three"]`},
		{`split('a,b,', ',')`, `["a","b",""]`},
		{`join(createArray('a', 'b', 1), '-')`, `"a-b-1"`},
		{`trim('  x ')`, `"x"`},
		{`length('abc')`, `3`},
		{`length(parameters('o'))`, `2`},
		{`empty('')`, `true`},
		{`empty(null())`, `true`},
		{`empty(variables('v'))`, `false`},
		{`contains('OneTwo', 'one')`, `false`},
		{`contains(parameters('o'), 'a')`, `true`},
		{`contains(variables('v'), 'y')`, `true`},
		{`indexOf('abcABC', 'BC')`, `1`},
		{`lastIndexOf('abcABC', 'bc')`, `4`},
		{`indexOf(variables('v'), 'y')`, `1`},
		{`indexOf('abc', 'q')`, `-1`},
		{`startsWith('abc', 'AB')`, `true`},
		{`endsWith('abc', 'BC')`, `true`},
		{`padLeft('12', 5, '0')`, `"00012"`},
		{`padLeft(7, 3)`, `"  7"`},
		{`padLeft('a', 2000000000)`, `error:too much work to evaluate`},
		{`first('abc')`, `"a"`},
		{`first(variables('v'))`, `"x"`},
		{`first(createArray())`, `null`},
		{`last('abc')`, `"c"`},
		{`skip('abcdef', 4)`, `"ef"`},
		{`skip(variables('v'), 1)`, `["y"]`},
		{`take('abc', 20)`, `"abc"`},
		{`take(variables('v'), 1)`, `["x"]`},
		{`union(createArray('a','b'), createArray('b','c'))`, `["a","b","c"]`},
		{`union(createObject('a', createObject('x', 1)), createObject('a', createObject('y', 2), 'b', 3))`, `{"a":{"x":1,"y":2},"b":3}`},
		{`intersection(createArray(1,2,3), createArray(3,2))`, `[2,3]`},
		{`intersection(createObject('a',1,'b',2), createObject('b',2,'a',3))`, `{"b":2}`},
		{`range(5, 3)`, `[5,6,7]`},
		{`range(0, 10001)`, `error:expects a count from 0 to 10000`},
		{`createObject('k', 'v', 'n', null())`, `{"k":"v","n":null}`},
		{`array('x')`, `["x"]`},
		{`string(createObject('a', createArray(1, '<')))`, `"{\"a\":[1,\"<\"]}"`},
		{`int('42')`, `42`},
		{`int('x')`, `error:cannot convert`},
		{`bool('True')`, `true`},
		{`bool(0)`, `false`},
		{`json('{"a":[1,null]}').a`, `[1,null]`},
		{`json('{')`, `error:cannot use the value`},
		{`base64('one, two')`, `"b25lLCB0d28="`},
		{`base64ToString('b25lLCB0d28=')`, `"one, two"`},
		{`base64ToJson(base64('{"a":1}')).a`, `1`},
		{`uri('http://contoso.org/firstpath/', 'myscript.sh')`, `"http://contoso.org/firstpath/myscript.sh"`},
		{`uriComponent('http://a/b c')`, `"http%3A%2F%2Fa%2Fb%20c"`},
		{`uriComponentToString('http%3A%2F%2Fa%2Fb%20c')`, `"http://a/b c"`},
		{`dataUri('Hello')`, `"data:text/plain;charset=utf8;base64,SGVsbG8="`},
		{`dataUriToString('data:text/plain;charset=utf8;base64,SGVsbG8=')`, `"Hello"`},
		{`if(true(), 'a', variables('v')[9])`, `"a"`},
		{`if(equals(1, 2), 'a', 'b')`, `"b"`},
		{`and(true(), not(false()))`, `true`},
		{`or(false(), false())`, `false`},
		{`and(true(), 1)`, `error:'Boolean'`},
		{`equals(createObject('a', 1), createObject('A', 1))`, `true`},
		{`equals('a', 'A')`, `false`},
		{`less(1, 2)`, `true`},
		{`lessOrEquals('a', 'b')`, `true`},
		{`greater('b', 'a')`, `true`},
		{`greaterOrEquals(1, 2)`, `false`},
		{`add(5, -3)`, `2`},
		{`sub(5, 3)`, `2`},
		{`mul(5, 3)`, `15`},
		{`mul(9223372036854775807, 2)`, `error:overflowed`},
		{`add(9223372036854775807, 1)`, `error:overflowed`},
		{`div(8, 3)`, `2`},
		{`div(8, 0)`, `error:divided by zero`},
		{`mod(7, 3)`, `1`},
		{`min(3, 1, 2)`, `1`},
		{`max(createArray(3, 1, 9))`, `9`},
		{`coalesce(null(), parameters('o').b.c[2].d, 'x')`, `"x"`},
		{`items(createObject('b', 1, 'a', 2))`, `[{"key":"a","value":2},{"key":"b","value":1}]`},
		{`objectKeys(createObject('b', 1, 'a', 2))`, `["a","b"]`},
		{`flatten(createArray(createArray(1), createArray(2, 3)))`, `[1,2,3]`},
		{`tryGet(parameters('o'), 'zz', 'a')`, `null`},
		{`tryGet(parameters('o'), 'b', 'zz')`, `error:property 'zz' doesn't exist`},
		{`dateTimeAdd('2020-04-07 14:53:14Z', 'P3Y')`, `"2023-04-07T14:53:14Z"`},
		{`dateTimeAdd('2020-04-07T14:53:14Z', '-P9DT1H', 'yyyy-MM-dd HH')`, `"2020-03-29 13"`},
		{`dateTimeToEpoch('2020-04-07T14:53:14Z')`, `1586271194`},
		{`dateTimeFromEpoch(1586271194)`, `"2020-04-07T14:53:14Z"`},
		{`toLower(1)`, `error:expects its parameter '1' to be of type 'String'. The provided value is of type 'Integer'`},
		{`toLower()`, `error:function requires 1 argument(s) while 0 were provided`},
		{`utcNow()`, `error:The template language function 'utcNow' is not expected at this location`},
		{`copyIndex()`, `error:'copyIndex' is not expected at this location`},
		{`foo('x')`, `error:The template function 'foo' is not valid. Please see https://aka.ms/arm-functions for usage details.`},
		{`contoso.name('x')`, `error:The template function 'contoso.name' is not valid.`},
		{`concat('x'`, `error:expected ',' at position '10'`},
		{`concat('x)`, `error:the string constant at position '7' is not terminated`},
		{`concat('x') y`, `error:expected end of string at position '12'`},
		{`variables`, `error:expected '('`},
		{`1.5`, `error:is no integer`},
		{`99999999999999999999`, `error:no 64-bit integer`},
	} {
		got := evaluate(t, c.expression)
		if want, isError := strings.CutPrefix(c.want, "error:"); isError && strings.Contains(got, want) || got == c.want {
			continue
		}
		t.Errorf("[%s]\n got %s\nwant %s", c.expression, got, c.want)
	}
}
