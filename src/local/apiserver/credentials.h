// Keys and certificates of a local cluster, kept in a folder.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "io/tls.h"

namespace mizzen::local {

struct Credentials {
  std::string ca_pem;
  std::string ca_key_pem;
  std::string token_key_pem;  // signs service account tokens
  io::TlsIdentity server;     // made anew at each start
};

// Loads what `folder` holds (ca.crt, ca.key, sa.key; mode 0600) and makes what is missing. "" keeps
// nothing. `names`: DNS names and IPs of the serving certificate.
Result<Credentials> load_credentials(const std::string& folder,
                                     const std::vector<std::string>& names, WallTime now);

// A client certificate of group system:masters.
Result<io::TlsIdentity> issue_admin(const Credentials& credentials, WallTime now);

}  // namespace mizzen::local
