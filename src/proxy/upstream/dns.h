// The names of a DNS cluster's endpoints and what they resolve to. One worker; asks only while the
// cluster is used, keeps the old answer when a new one cannot be had.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/resolver.h"
#include "io/timer.h"
#include "proxy/upstream/context.h"

namespace mizzen::proxy::upstream {

class DnsNames {
 public:
  // `on_answers`: all questions of a round are answered; `changed`: some differently than before.
  // It may not destroy this.
  DnsNames(Context& context, std::string cluster_name,
           std::function<void(bool changed)> on_answers);
  ~DnsNames();

  // Asks for all names of `endpoints`, at once when they are new.
  void set(std::shared_ptr<const Cluster> cluster, std::shared_ptr<const Endpoints> endpoints);
  void stop();  // no more questions; those under way are still counted by asking()

  // A request came: asks again when the last answer is too old.
  void use();
  bool asking() const { return asked_ > 0; }
  bool answered() const { return answered_; }  // once, if only with errors

  // The addresses of an endpoint, sorted; with LOGICAL_DNS one. Null: not known.
  const std::vector<io::Address>* find(const SocketAddr& name) const;
  // LOGICAL_DNS: nobody answers at `address`; the next one of its name takes its place. Whether
  // there is another one.
  bool leave(const io::Address& address);

 private:
  struct Known {
    std::vector<io::Address> all;
    std::vector<io::Address> used;
  };
  void ask();
  void ask_one(const std::string& name, std::uint16_t port);
  void on_answer(const std::string& key, Result<io::Resolved> result);
  void take(const std::string& key, std::vector<io::Address> addresses);
  Duration next_round();

  Context& context_;
  const std::string cluster_name_;
  std::function<void(bool)> on_answers_;
  std::shared_ptr<const Cluster> cluster_;
  std::shared_ptr<const Endpoints> endpoints_;
  std::unordered_map<std::string, Known> known_;  // by "name:port"
  io::Timer timer_;
  std::size_t asked_ = 0;
  std::uint32_t failures_ = 0;  // rounds in a row in which a name could not be resolved
  Duration ttl_{};              // the shortest of this round
  bool failed_ = false;         // in this round
  bool changed_ = false;
  bool renewed_ = false;  // set() while questions were under way
  bool answered_ = false;
  bool used_ = false;  // since the last round
  bool stopped_ = false;
};

}  // namespace mizzen::proxy::upstream
