#include "proxy/feed/local_agent.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "api/names.h"
#include "base/strings.h"

namespace mizzen::proxy {
namespace {

// SECRET_TTL, as Istio's agent reads it: "24h0m0s".
Duration certificate_life() {
  constexpr Duration kDefault = std::chrono::hours(24);
  const char* text = std::getenv("SECRET_TTL");
  if (!text) return kDefault;
  Duration total{};
  std::int64_t number = 0;
  for (const char* at = text; *at != '\0'; ++at) {
    if (*at >= '0' && *at <= '9') {
      number = number * 10 + (*at - '0');
      if (number > 1'000'000) return kDefault;
      continue;
    }
    if (*at == 'h')
      total += std::chrono::hours(number);
    else if (*at == 'm')
      total += std::chrono::minutes(number);
    else if (*at == 's')
      total += std::chrono::seconds(number);
    else
      return kDefault;
    number = 0;
  }
  return total > Duration::zero() ? total : kDefault;
}

agent::IdentitySettings identity_settings(const WorkloadSettings& settings) {
  agent::IdentitySettings made;
  made.uri = api::spiffe_id(settings.trust_domain, settings.name_space, settings.service_account);
  made.ca_host = settings.ca_host;
  made.ca_port = settings.ca_port;
  made.root_file = settings.root_file;
  made.token_file = settings.token_file;
  made.validity = certificate_life();
  return made;
}

}  // namespace

LocalAgent::LocalAgent(io::Loop& loop, ConfigFeed& feed, const WorkloadSettings& settings)
    : loop_(loop),
      feed_(feed),
      settings_(settings),
      identity_(std::make_unique<agent::IdentitySource>(
          loop, identity_settings(settings),
          [this](const agent::Identity& identity) { on_identity(identity); })) {}

LocalAgent::~LocalAgent() = default;

Result<std::unique_ptr<LocalAgent>> LocalAgent::make(io::Loop& loop, ConfigFeed& feed,
                                                     const WorkloadSettings& settings,
                                                     LocalAgentHooks hooks) {
  std::unique_ptr<LocalAgent> made(new LocalAgent(loop, feed, settings));
  agent::StatusOptions options;
  auto* identity = made->identity_.get();
  options.not_ready = [identity,
                       inner = std::move(hooks.not_ready)]() -> std::optional<std::string> {
    if (!identity->identity()) {
      return "no certificate yet" +
             (identity->last_error().empty() ? "" : ": " + identity->last_error());
    }
    return inner();
  };
  options.metrics = std::move(hooks.metrics);
  options.quit = std::move(hooks.quit);
  MIZZEN_TRY(options.probes, agent::parse_probes(settings.app_probers_json));
  MIZZEN_TRY(options.app_metrics, agent::parse_app_metrics(settings.prometheus_annotations_json));
  // Asking ourselves would never end.
  if (options.app_metrics && options.app_metrics->port == settings.status_port) {
    options.app_metrics.reset();
  }
  made->pages_ = std::make_unique<agent::StatusServer>(loop, std::move(options));
  return made;
}

Status LocalAgent::start_dns() {
  std::ifstream file("/etc/resolv.conf");
  std::stringstream text;
  text << file.rdbuf();
  agent::DnsProxyOptions options;
  MIZZEN_TRY(options.listen, io::Address::parse_ip("127.0.0.1", api::kDnsPort));
  options.servers = agent::read_name_servers(text.str());
  MIZZEN_TRY(dns_, agent::DnsProxy::start(loop_, std::move(options)));
  return names_.empty() ? Status() : dns_->set_names(names_);
}

Status LocalAgent::set_names(std::string_view name_table) {
  names_ = name_table;
  return dns_ ? dns_->set_names(names_) : Status();
}

void LocalAgent::start() { identity_->start(); }

void LocalAgent::close_pages() {
  dns_.reset();
  pages_.reset();
}

Status LocalAgent::listen() {
  // First: capture rules send queries here from the pod's first moment.
  if (settings_.dns_capture) {
    Status listening = start_dns();
    if (!listening) return std::unexpected(listening.error().in("DNS"));
  }
  MIZZEN_CHECKED(pages_->listen({io::Address::any(settings_.status_port)}));
  MIZZEN_CHECKED(pages_->listen_readiness({io::Address::any(api::kReadinessPort)}));
  return pages_->listen_metrics({io::Address::any(api::kProxyMetricsPort)});
}

void LocalAgent::set_draining() {
  if (pages_) pages_->set_draining();
}

void LocalAgent::on_identity(const agent::Identity& identity) {
  auto own = std::make_shared<Secret>();
  own->name = api::kWorkloadSecret;
  own->certificate_chain = identity.chain_pem;
  own->private_key = identity.key_pem;
  own->version_hash = fnv1a(own->certificate_chain);
  auto roots = std::make_shared<Secret>();
  roots->name = api::kRootSecret;
  roots->trusted_ca = identity.roots_pem;
  roots->version_hash = fnv1a(roots->trusted_ca);
  feed_.store().set_secret(std::move(own));
  feed_.store().set_secret(std::move(roots));
  feed_.touch();
}

}  // namespace mizzen::proxy
