package resources_test

import (
	"fmt"
	"strings"
	"testing"
)

// Links are notes on resources: written, read, listed by source and by target, and gone with their source.
func TestLinks(t *testing.T) {
	w := newWorld(t)
	w.OK(inA, "PUT", things+"sync/a", `{"location":"eastus"}`)
	w.OK(inA, "PUT", things+"sync/b", `{"location":"eastus"}`)
	const links = "/providers/Microsoft.Resources/links"
	a, b := things+"sync/a", things+"sync/b"
	to := func(target string) string {
		return fmt.Sprintf(`{"properties":{"targetId":%q,"notes":"they belong together"}}`, target)
	}
	r := w.OK(inA, "PUT", a+links+"/l", to(b))
	if p := w.Decode(r.Body); r.Status != 201 || at(p, "name") != "l" || at(p, "properties.sourceId") != a || at(p, "properties.targetId") != b || at(p, "type") != "Microsoft.Resources/links" {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	if r := w.OK(inA, "PUT", a+links+"/l", to(group)); r.Status != 200 {
		t.Errorf("again: %d", r.Status)
	}
	w.OK(inA, "PUT", group+links+"/g", to(strings.ToUpper(b)))
	w.OK(inA, "PUT", b+links+"/l", to(a))
	for list, want := range map[string]string{
		a + links:                            "l",
		group + links + "?$filter=atScope()": "g",
		group + links:                        "g l l",
		"/subscriptions/" + subA + links:     "g l l",
		"/subscriptions/" + subA + links + "?$filter=targetId eq '" + b + "'":    "g",
		"/subscriptions/" + subA + links + "?$filter=targetId eq " + a + "/none": "",
	} {
		var got []string
		all, _ := at(w.Get(inA, list), "value").([]any)
		for _, one := range all {
			got = append(got, at(one, "name").(string))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", list, got, want)
		}
	}
	for _, row := range []struct{ path, body, code, says string }{
		{a + links + "/x", `{}`, "400 InvalidParameter", "Required parameter 'targetId' is missing"},
		{a + links + "/x", to("nonsense"), "400 LinkedInvalidPropertyId", "targetId"},
		{a + links + "/x", to("/subscriptions/" + subA), "400 LinkedInvalidPropertyId", "targetId"},
		{a + links + "/x", to("/subscriptions/" + subB + "/resourceGroups/rg"), "400 InvalidLinkTarget", "same subscription"},
		{a + links + "/x", to(group + strings.Repeat("/x", 2000)), "400 LinkedInvalidPropertyId", "targetId"},
		{a + links + "/x", `{"properties":{"targetId":"` + b + `","notes":"` + strings.Repeat("n", 513) + `"}}`, "400 InvalidRequestContent", "notes"},
		{things + "sync/none" + links + "/x", to(b), "404 ResourceNotFound", "source"},
		{"/subscriptions/" + subA + links + "/x", to(b), "400 InvalidLinkSource", "not on"},
	} {
		w.Refused(inA, "PUT", row.path, row.body, row.code, row.says)
	}
	w.Refused(inA, "GET", group+links+"?$filter=notes eq 'x'", "", "400 UnsupportedQuery", "atScope()")
	w.Refused(inB, "PUT", a+links+"/x", to(b), "401 InvalidAuthenticationTokenTenant", tenantB)
	w.Refused(inB, "GET", a+links+"/l", "", "401 InvalidAuthenticationTokenTenant", tenantB)
	for n := range 49 {
		w.OK(inA, "PUT", fmt.Sprint(a, links, "/n", n), to(b))
	}
	w.Refused(inA, "PUT", a+links+"/more", to(b), "409 TooManyLinks", "50")
	w.OK(inA, "PUT", a+links+"/l", to(b))
	if r := w.OK(inA, "DELETE", b+links+"/l", ""); r.Status != 200 {
		t.Errorf("DELETE: %d", r.Status)
	}
	if r := w.OK(inA, "DELETE", b+links+"/l", ""); r.Status != 204 {
		t.Errorf("DELETE again: %d", r.Status)
	}
	w.OK(inA, "DELETE", a, "")
	w.Refused(inA, "GET", a+links+"/l", "", "404 ResourceNotFound", "")
	if all, _ := at(w.Get(inA, "/subscriptions/"+subA+links), "value").([]any); len(all) != 1 {
		t.Errorf("links are left of what is gone: %v", all)
	}
	w.OK(inA, "DELETE", group, "")
	w.Until("the end of the group", func() bool { return w.Left("") == 0 })
}
