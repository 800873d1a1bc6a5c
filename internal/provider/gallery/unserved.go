package gallery

import (
	"context"

	"vitrine/internal/control"
	"vitrine/internal/provider/gallery/catalog"
)

// unserved are the child types of a gallery that Azure has and this installation has not (gallery.md 1 and 17).
var unserved = [...]struct{ name, what string }{
	{"inVMAccessControlProfiles", "In-VM access control profiles (galleries/inVMAccessControlProfiles)"},
	{"scripts", "Gallery scripts (galleries/scripts)"},
}

// refuseUnserved answers requests for them by name.
func refuseUnserved(c *control.Control) {
	const at = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Compute/galleries/{gallery}/"
	for _, u := range unserved {
		for _, below := range []string{"", "/{name}", "/{name}/versions", "/{name}/versions/{version}"} {
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
				c.Handle(control.Route{Method: method, Pattern: at + u.name + below, Do: func(context.Context, *control.Call) (any, error) {
					return nil, catalog.Unsupported("", u.what)
				}})
			}
		}
	}
}
