// Package vitrine is the map of the module; the program is cmd/vitrine.
//
// The names of the folders are the steps of a request, so whoever knows this sentence knows the tree:
//
//	A request comes through a door; its tokens become a caller; RBAC answers whether the caller may; the control table
//	hands it to a provider; the provider writes to the store, and what takes long becomes an operation; image bytes live
//	in image over blob; machines run in vm.
//
// Begin reading at internal/control (the pipeline that every request walks), then internal/provider/gallery (a resource
// type as a value in its table), then internal/app (how everything is put together).
//
//	layer 0  arm, arm/armjson, digest, web, seal, proc          words and mechanics
//	layer 1  store, blob, vm and their back-ends                ports
//	layer 2  directory, token, operation, image, template, quota, authn, rbac   engines: no HTTP, no SQL, no processes
//	layer 3  control                                            the front of Resource Manager
//	layer 4  provider/…, client
//	layer 5  login, dataplane, edge, operator                   doors
//	layer 6  app, cli                                           assembly
//
// The rules of who may import whom are executed by arch_test.go and explained in docs/architecture.md.
package vitrine
