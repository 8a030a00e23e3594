// The mesh's authority out of the cluster's Secrets: `cacerts` when somebody has plugged one in,
// else `istio-ca-secret`, which is made when it is not there.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ca/authority.h"
#include "kube/client.h"

namespace mizzen::mizzend {

using AuthorityReady = std::function<void(std::shared_ptr<const ca::Authority>)>;

// Loop thread only. The client must outlive it.
class AuthorityLoader {
 public:
  AuthorityLoader(kube::Client& client, std::string name_space, std::string trust_domain);
  ~AuthorityLoader() { *alive_ = false; }
  AuthorityLoader(const AuthorityLoader&) = delete;
  AuthorityLoader& operator=(const AuthorityLoader&) = delete;

  // Tries until there is one; several control planes that start together end with the same.
  void load(AuthorityReady ready);

 private:
  void read_plugged_in();
  void read_own();
  void create_own();
  void use(Result<std::shared_ptr<const ca::Authority>> authority, std::string_view secret);
  void again(const std::string& why);

  kube::Client& client_;
  std::string name_space_;
  std::string trust_domain_;
  AuthorityReady ready_;
  Duration wait_ = std::chrono::milliseconds(100);
  std::string last_problem_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mizzen::mizzend
