"""Compare what resources.yml declares with the cloud, or bring the cloud in line, over its APIs.

Request: {"auth_url", "region", "interface", "places", "admin": {"username", "password", "project",
          "user_domain", "project_domain"}, "left_out": [hosts], "apply": bool,
          "declared": {"flavors", "aggregates", "server_groups", "quotas", "keypairs", "images":
                       {name: {the keys that are declared}}}}
Answer:  {"answers": bool, "error": text|null, "changes": [texts], "refused": [texts],
          "unregistered": [hosts], "remarks": [texts]}
Everything is compared before anything is changed. An API is asked only for kinds that are declared,
one list for a kind; what is not declared is not touched.
"""

import cloud_aggregates
import cloud_flavors
import cloud_images
import cloud_projects
import cloud_session
import rest

KINDS = {
    "flavors": cloud_flavors.compare,
    "aggregates": cloud_aggregates.compare,
    "server_groups": cloud_projects.compare_server_groups,
    "quotas": cloud_projects.compare_quotas,
    "keypairs": cloud_projects.compare_keypairs,
    "images": cloud_images.compare,
}


def compare(cloud):
    declared = cloud.declared
    for kind, function in KINDS.items():
        if declared.get(kind):
            function(cloud, declared[kind])
    both = (declared.get("aggregates", {}), declared.get("flavors", {}))
    cloud_aggregates.compare_traits(cloud, *both)


def answer(request):
    try:
        cloud = cloud_session.Cloud(request)
        compare(cloud)
        if request["apply"]:
            if cloud.refused:
                raise rest.Failed("; ".join(cloud.refused))
            cloud.run()
    except rest.Failed as error:
        if request["apply"]:
            raise SystemExit(str(error)) from error
        found = {"answers": False, "error": str(error)}
        return {**found, "changes": [], "refused": [], "unregistered": [], "remarks": []}
    return {
        "answers": True,
        "error": None,
        "changes": [text for _, text, _, _ in cloud.changes()],
        "refused": cloud.refused,
        "unregistered": cloud.unregistered,
        "remarks": cloud.remarks,
    }
