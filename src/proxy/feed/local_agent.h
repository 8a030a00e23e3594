// The agent inside the proxy of an injected pod: its certificate becomes the secrets `default` and
// `ROOTCA`, its pages answer on 15020, 15021 and 15090. Main thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/dns_proxy.h"
#include "agent/identity.h"
#include "agent/status_server.h"
#include "io/loop.h"
#include "proxy/bootstrap/bootstrap.h"
#include "proxy/feed/feed.h"

namespace mizzen::proxy {

struct LocalAgentHooks {
  std::function<std::optional<std::string>()> not_ready;  // why; nothing when ready
  std::function<void(std::function<void(std::string)>)> metrics;
  std::function<void()> quit;
};

class LocalAgent {
 public:
  // kInvalid when a setting of the pod does not parse. `loop` and `feed` outlive this.
  static Result<std::unique_ptr<LocalAgent>> make(io::Loop& loop, ConfigFeed& feed,
                                                  const WorkloadSettings& settings,
                                                  LocalAgentHooks hooks);
  ~LocalAgent();

  // The names that it answers for, as a NameTable message; only with dns_capture.
  Status set_names(std::string_view name_table);
  // Asks for a certificate.
  void start();
  // Opens the pages and, with dns_capture, answers DNS. Ports that are taken are errors.
  Status listen();
  // Closes all of that: another process opens it.
  void close_pages();
  // Readiness says no from now on.
  void set_draining();
  const agent::IdentitySource& identity() const { return *identity_; }
  // A new certificate now; connections that are open keep theirs.
  void renew() { identity_->renew(); }

 private:
  Status start_dns();
  LocalAgent(io::Loop& loop, ConfigFeed& feed, const WorkloadSettings& settings);
  void on_identity(const agent::Identity& identity);

  io::Loop& loop_;
  ConfigFeed& feed_;
  WorkloadSettings settings_;
  std::unique_ptr<agent::IdentitySource> identity_;
  std::unique_ptr<agent::StatusServer> pages_;
  std::unique_ptr<agent::DnsProxy> dns_;
  std::string names_;  // the last table
};

}  // namespace mizzen::proxy
