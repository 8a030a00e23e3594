#include "proxy/admin/dump.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/field_mask_util.h>

#include "api/names.h"
#include "base/strings.h"
#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "proxy/admin/json.h"
#include "route/matchers.h"

namespace mizzen::proxy {
namespace {

namespace admin = envoy::admin::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
using google::protobuf::Any;
using google::protobuf::Message;
using google::protobuf::util::FieldMaskUtil;

constexpr std::string_view kRedacted = "[redacted]";

// The resource as it came. What holds types unknown here cannot be written as JSON and is replaced
// by a note of its name.
void set_resource(std::string_view type_url, const std::string& name, const std::string& bytes,
                  Any* to) {
  to->set_type_url(std::string(type_url));
  to->set_value(bytes);
  if (has_json(*to)) return;
  google::protobuf::Struct note;
  (*note.mutable_fields())["name"].set_string_value(name);
  (*note.mutable_fields())["type"].set_string_value(std::string(type_url));
  (*note.mutable_fields())["note"].set_string_value("holds extensions that this proxy cannot show");
  to->PackFrom(note);
}

template <class Entry>
void set_error(const Refused& refused, std::string_view type_url, const std::string& name,
               Entry* entry) {
  auto* state = entry->mutable_error_state();
  set_resource(type_url, name, refused.wire.bytes, state->mutable_failed_configuration());
  set_timestamp(refused.wire.updated, state->mutable_last_update_attempt());
  state->set_details(refused.reason);
  state->set_version_info(refused.wire.version);
  entry->set_client_status(admin::NACKED);
}

class Filter {
 public:
  static Result<Filter> make(const std::string& regex) {
    Filter filter;
    if (!regex.empty()) {
      MIZZEN_TRY(filter.regex_, route::compile_regex(regex));
    }
    return filter;
  }
  bool passes(const std::string& name) const {
    return !regex_ || route::matches_whole(regex_, name);
  }

 private:
  route::Regex regex_;
};

admin::ClustersConfigDump dump_clusters(const ConfigStore& store, const Filter& filter) {
  admin::ClustersConfigDump dump;
  dump.set_version_info(store.version(api::kClusterType));
  auto fill = [](const std::string& name, const Wire& wire, auto* entry) {
    set_resource(api::kClusterType, name, wire.bytes, entry->mutable_cluster());
    set_timestamp(wire.updated, entry->mutable_last_updated());
  };
  for (const auto& [name, stored] : store.clusters()) {
    if (!filter.passes(name)) continue;
    if (stored.is_static) {
      fill(name, stored.active ? stored.active_wire : stored.warming_wire,
           dump.add_static_clusters());
      continue;
    }
    if (stored.active) {
      auto* entry = dump.add_dynamic_active_clusters();
      fill(name, stored.active_wire, entry);
      entry->set_version_info(stored.active_wire.version);
      if (stored.refused) set_error(*stored.refused, api::kClusterType, name, entry);
    } else if (stored.refused && !stored.warming) {
      set_error(*stored.refused, api::kClusterType, name, dump.add_dynamic_warming_clusters());
    }
    if (stored.warming) {
      auto* entry = dump.add_dynamic_warming_clusters();
      fill(name, stored.warming_wire, entry);
      entry->set_version_info(stored.warming_wire.version);
    }
  }
  return dump;
}

admin::ListenersConfigDump dump_listeners(const ConfigStore& store, const Filter& filter) {
  admin::ListenersConfigDump dump;
  dump.set_version_info(store.version(api::kListenerType));
  auto fill = [](const std::string& name, const Wire& wire, auto* entry) {
    set_resource(api::kListenerType, name, wire.bytes, entry->mutable_listener());
    set_timestamp(wire.updated, entry->mutable_last_updated());
  };
  for (const auto& [name, stored] : store.listeners()) {
    if (!filter.passes(name)) continue;
    if (stored.is_static) {
      fill(name, stored.active ? stored.active_wire : stored.warming_wire,
           dump.add_static_listeners());
      continue;
    }
    auto* entry = dump.add_dynamic_listeners();
    entry->set_name(name);
    if (stored.active) {
      fill(name, stored.active_wire, entry->mutable_active_state());
      entry->mutable_active_state()->set_version_info(stored.active_wire.version);
    }
    if (stored.warming) {
      fill(name, stored.warming_wire, entry->mutable_warming_state());
      entry->mutable_warming_state()->set_version_info(stored.warming_wire.version);
    }
    if (stored.refused) set_error(*stored.refused, api::kListenerType, name, entry);
  }
  return dump;
}

admin::RoutesConfigDump dump_routes(const ConfigStore& store, const Filter& filter) {
  admin::RoutesConfigDump dump;
  for (const auto& [name, stored] : store.routes()) {
    if (!filter.passes(name)) continue;
    const Wire& wire = stored.active ? stored.active_wire : stored.warming_wire;
    auto* entry = dump.add_dynamic_route_configs();
    entry->set_version_info(wire.version);
    if (!wire.bytes.empty()) {
      set_resource(api::kRouteType, name, wire.bytes, entry->mutable_route_config());
      set_timestamp(wire.updated, entry->mutable_last_updated());
    }
    if (stored.refused) set_error(*stored.refused, api::kRouteType, name, entry);
  }
  return dump;
}

admin::EndpointsConfigDump dump_endpoints(const ConfigStore& store, const Filter& filter) {
  admin::EndpointsConfigDump dump;
  for (const auto& [name, stored] : store.endpoints()) {
    if (!filter.passes(name) || stored.active_wire.bytes.empty()) continue;
    auto* entry = dump.add_dynamic_endpoint_configs();
    entry->set_version_info(stored.active_wire.version);
    set_resource(api::kEndpointType, name, stored.active_wire.bytes,
                 entry->mutable_endpoint_config());
    set_timestamp(stored.active_wire.updated, entry->mutable_last_updated());
    if (stored.refused) set_error(*stored.refused, api::kEndpointType, name, entry);
  }
  return dump;
}

tls::Secret shown(const std::string& name, const Secret& secret) {
  tls::Secret made;
  made.set_name(name);
  if (!secret.certificate_chain.empty()) {
    auto* certificate = made.mutable_tls_certificate();
    certificate->mutable_certificate_chain()->set_inline_bytes(secret.certificate_chain);
    certificate->mutable_private_key()->set_inline_bytes(std::string(kRedacted));
  } else {
    made.mutable_validation_context()->mutable_trusted_ca()->set_inline_bytes(secret.trusted_ca);
  }
  return made;
}

admin::SecretsConfigDump dump_secrets(const ConfigStore& store, const Filter& filter) {
  admin::SecretsConfigDump dump;
  for (const auto& [name, stored] : store.secrets()) {
    if (!filter.passes(name)) continue;
    if (stored.is_static && stored.active) {
      auto* entry = dump.add_static_secrets();
      entry->set_name(name);
      entry->mutable_secret()->PackFrom(shown(name, **stored.active));
      set_timestamp(stored.active_wire.updated, entry->mutable_last_updated());
      continue;
    }
    auto* entry =
        stored.active ? dump.add_dynamic_active_secrets() : dump.add_dynamic_warming_secrets();
    entry->set_name(name);
    entry->set_version_info(stored.active_wire.version);
    if (stored.active) {
      entry->mutable_secret()->PackFrom(shown(name, **stored.active));
      set_timestamp(stored.active_wire.updated, entry->mutable_last_updated());
    }
    if (stored.refused) {
      // Its bytes may hold a key: only the reason is shown.
      entry->mutable_error_state()->set_details(stored.refused->reason);
      entry->set_client_status(admin::NACKED);
    }
  }
  return dump;
}

// Trims to `mask`; "listeners.name" style paths are of the message itself.
Status apply_mask(const std::string& mask, Message* message) {
  if (mask.empty()) return {};
  google::protobuf::FieldMask paths;
  for (auto path : split(mask, ',')) {
    auto text = trim(path);
    if (text.empty()) continue;
    if (!FieldMaskUtil::GetFieldDescriptors(message->GetDescriptor(), {text.data(), text.size()},
                                            nullptr)) {
      return fail(Code::kInvalid, "mask: '" + std::string(text) + "' is no field of " +
                                      message->GetDescriptor()->name());
    }
    paths.add_paths(std::string(text));
  }
  FieldMaskUtil::TrimMessage(paths, message);
  return {};
}

// Adds the whole document, or the entries of the field `resource` when it has one of that name.
Result<bool> add_document(Message& document, const DumpQuery& query, admin::ConfigDump& to) {
  if (query.resource.empty()) {
    if (query.mask.empty() || apply_mask(query.mask, &document)) {
      to.add_configs()->PackFrom(document);
      return true;
    }
    return false;  // the mask is about other documents
  }
  const auto* field = document.GetDescriptor()->FindFieldByName(query.resource);
  if (!field || !field->is_repeated() || !field->message_type()) return false;
  const auto* reflection = document.GetReflection();
  for (int i = 0; i < reflection->FieldSize(document, field); ++i) {
    Message* entry = reflection->MutableRepeatedMessage(&document, field, i);
    MIZZEN_CHECKED(apply_mask(query.mask, entry));
    to.add_configs()->PackFrom(*entry);
  }
  return true;
}

}  // namespace

Result<std::string> config_dump(const ConfigStore& store, const Bootstrap& bootstrap,
                                const DumpQuery& query) {
  MIZZEN_TRY(auto filter, Filter::make(query.name_regex));
  admin::BootstrapConfigDump boot;
  boot.mutable_bootstrap()->ParseFromString(bootstrap.wire);
  for (auto& secret : *boot.mutable_bootstrap()->mutable_static_resources()->mutable_secrets()) {
    if (secret.has_tls_certificate()) {
      secret.mutable_tls_certificate()->mutable_private_key()->set_inline_string(
          std::string(kRedacted));
    }
  }
  auto clusters = dump_clusters(store, filter);
  auto listeners = dump_listeners(store, filter);
  auto routes = dump_routes(store, filter);
  auto secrets = dump_secrets(store, filter);
  std::vector<Message*> documents = {&boot, &clusters, &listeners, &routes, &secrets};
  admin::EndpointsConfigDump endpoints;
  bool endpoints_wanted = query.include_eds || query.resource.find("endpoint") != std::string::npos;
  if (endpoints_wanted) {
    endpoints = dump_endpoints(store, filter);
    documents.insert(documents.begin() + 2, &endpoints);
  }
  admin::ConfigDump dump;
  bool any = false;
  for (Message* document : documents) {
    MIZZEN_TRY(bool added, add_document(*document, query, dump));
    any = any || added;
  }
  if (!any && !query.resource.empty()) {
    return fail(Code::kNotFound, query.resource + " not found in config dump");
  }
  if (!any) return fail(Code::kInvalid, "mask: '" + query.mask + "' fits no document");
  return admin_json(dump);
}

}  // namespace mizzen::proxy
