"""What one host of the inventory has that an audit compares with the cloud's own records.

Request: {"compute": bool, "libvirt": URI, "instances": folder, "known_hosts": path,
          "authorized_keys": path}
Answer:  {"boot": epoch, "time": epoch,
          "domains": [{"uuid", "name", "state"}]|null, "domains_error": text|null,
          "folders": [{"name", "bytes", "written": epoch}], "bases": [the same],
          "disks": [paths that domains use], "nova_compute": {"pid", "since": epoch}|null,
          "known_hosts": [names], "keys": [comments]}
"""
