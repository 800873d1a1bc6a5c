package machine

import (
	"fmt"
	"strings"
	"testing"

	"vitrine/internal/arm"
	"vitrine/internal/authn"
	"vitrine/internal/store"
)

// A machine of a shared or community gallery needs no token of the publisher's tenant, keeps the ID that it was made from, and
// shows nothing of the publisher's, nor do its disks.
func TestForeign(t *testing.T) {
	w := newWorld(t)
	w.caller = authn.Caller{Primary: w.caller.Primary} // no auxiliary token
	const shared = "/SharedGalleries/" + subB + "-G/Images/data"
	var asked []string
	w.provider.Foreign = func(_ store.Tx, subscription, id, region string) (string, string, error) {
		asked = append(asked, subscription+" "+id+" "+region)
		if strings.Contains(id, "none") {
			return "", "", arm.Errorf(404, "GalleryImageNotFound", "The gallery image %s is not available.", id)
		}
		return images + "data/versions/1.0.0", shared + "/Versions/1.0.0", nil
	}
	for n, member := range []string{"sharedGalleryImageId", "communityGalleryImageId"} {
		id := shared
		if n == 1 {
			id = "/CommunityGalleries/pub/Images/data/Versions/latest"
		}
		w.must("PUT", machines+"m", body(t, fmt.Sprintf("storageProfile.imageReference={%q:%q}", member, id)))
		got := w.must("GET", machines+"m", "")
		reference := got["properties"].(map[string]any)["storageProfile"].(map[string]any)["imageReference"].(map[string]any)
		if reference["exactVersion"] != "1.0.0" || reference[member] != id || len(reference) != 2 || strings.Contains(fmt.Sprint(got), "resourceGroups/pub") {
			t.Errorf("%v: %v", reference, got)
		}
		for _, d := range got["properties"].(map[string]any)["storageProfile"].(map[string]any)["dataDisks"].([]any) {
			if doc := w.load(parsed(t, d.(map[string]any)["managedDisk"].(map[string]any)["id"].(string))); doc.New.Foreign != shared+"/Versions/1.0.0" {
				t.Errorf("%+v", doc)
			}
		}
		w.update(func(tx store.Tx) error { // those who use a gallery can be found
			found, err := tx.List(store.Query{Kind: "microsoft.compute/virtualmachines", All: []string{"uses:" + strings.ToLower(strings.Split(id, "/")[2])}})
			if err != nil || len(found) != 1 {
				t.Errorf("%d %v", len(found), err)
			}
			return nil
		})
		before := len(asked)
		w.must("PATCH", machines+"m", `{"tags":{"a":"b"}}`)
		if len(asked) != before || asked[before-1] != sub+" "+id+" eastus" {
			t.Error(asked)
		}
		w.must("DELETE", machines+"m", "")
		w.erase(nicID)
		w.write(nicID, "microsoft.network/networkinterfaces", `{}`)
	}
	for _, edit := range []string{
		`storageProfile.imageReference={"sharedGalleryImageId":"` + images + `data/versions/1.0.0"}`,
		`storageProfile.imageReference={"sharedGalleryImageId":"/CommunityGalleries/pub/Images/data"}`,
		`storageProfile.imageReference={"communityGalleryImageId":"` + shared + `"}`,
		`storageProfile.imageReference={"communityGalleryImageId":"/CommunityGalleries/pub/Images/data","sharedGalleryImageId":"` + shared + `"}`,
		`storageProfile.imageReference={"id":"` + images + `data/versions/1.0.0","sharedGalleryImageId":"` + shared + `"}`,
	} {
		w.fails("PUT", machines+"m", body(t, edit), "InvalidParameter", "mageReference")
	}
	w.fails("PUT", machines+"m", body(t, `storageProfile.imageReference={"sharedGalleryImageId":"/SharedGalleries/none/Images/data"}`), "GalleryImageNotFound", "none")
}

func parsed(t *testing.T, text string) arm.ID {
	t.Helper()
	id, err := arm.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
