// Role-based access control (rbac.authorization.k8s.io/v1): who may do what, by the roles and
// bindings in the store. Internal to apiserver.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "local/apiserver/api.h"
#include "local/apiserver/parts.h"

namespace mizzen::local {

// What is asked for: of a resource, or (`path` set) of a URL that is none.
struct Access {
  std::string verb;  // get, list, watch, create, update, patch, delete, deletecollection, ...
  std::string group;
  std::string resource;  // plural; "pods/exec" with a subresource
  std::string ns;        // "": of all namespaces, or cluster-scoped
  std::string name;
  std::string path;
};

struct Verdict {
  bool allowed = false;
  std::string reason;  // which binding grants it; "" when refused
};

// Members of system:masters may do everything.
Verdict authorize(const Store& store, const Caller& caller, const Access& access);

// What a request asks for. `target` null: a path that names no resource.
Access access_of(const ApiRequest& request, const Target* target);
// As kubectl prints it: `User "x" cannot list resource "pods" in API group "" ...`.
ApiResponse refused(const Caller& caller, const Access& access);

// All rules that hold for the caller in a namespace, PolicyRules as in a Role.
Json rules_of(const Store& store, const Caller& caller, const std::string& ns);

// Whoever writes a role or a binding must have what it gives (or the verb escalate, or bind): what
// is missing, for a person; "" when all is well.
std::string escalates(const Store& store, const Caller& caller, const Type& type,
                      const Json& object);

// The caller that `caller` asks to act as (Impersonate-User and Impersonate-Group); the error says
// why not.
Result<Caller> impersonate(const Store& store, const Caller& caller, const std::string& user,
                           const std::vector<std::string>& groups);

// Roles and bindings that every cluster has (rbac_defaults.cc).
void create_default_roles(Store& store);

}  // namespace mizzen::local
