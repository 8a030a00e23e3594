#include "local/apiserver/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "io/address.h"
#include "pki/certificate.h"

namespace mizzen::local {

namespace {

constexpr auto kRootLife = std::chrono::hours(24 * 3650);
constexpr auto kLeafLife = std::chrono::hours(24 * 365);

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Status write_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return std::unexpected(errno_error(fresh, errno));
  const bool whole = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int problem = errno;
  ::close(fd);
  if (!whole) return std::unexpected(errno_error(fresh, problem));
  if (::rename(fresh.c_str(), path.c_str()) != 0) return std::unexpected(errno_error(path, errno));
  return {};
}

Result<io::TlsIdentity> issue_leaf(const Credentials& credentials, const pki::SubjectNames& names,
                                   const std::string& organization, WallTime now) {
  MIZZEN_TRY(const auto ca_key, pki::PrivateKey::from_pem(credentials.ca_key_pem));
  MIZZEN_TRY(const auto ca, pki::Certificate::from_pem(credentials.ca_pem));
  MIZZEN_TRY(const auto key, pki::PrivateKey::generate_p256());
  pki::IssueOptions options;
  options.names = names;
  options.organization = organization;
  options.not_before = now - std::chrono::minutes(2);
  options.not_after = now + kLeafLife;
  MIZZEN_TRY(const auto certificate, pki::issue(key.public_key(), options, ca_key, &ca));
  return io::TlsIdentity{certificate.to_pem(), key.to_pem()};
}

}  // namespace

Result<Credentials> load_credentials(const std::string& folder,
                                     const std::vector<std::string>& names, WallTime now) {
  Credentials credentials;
  if (!folder.empty()) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) return fail(Code::kInternal, folder + ": " + error.message());
    credentials.ca_pem = read_file(folder + "/ca.crt");
    credentials.ca_key_pem = read_file(folder + "/ca.key");
    credentials.token_key_pem = read_file(folder + "/sa.key");
  }
  if (credentials.ca_pem.empty() || credentials.ca_key_pem.empty()) {
    MIZZEN_TRY(const auto root, pki::make_root("mizzen-local", now, kRootLife));
    credentials.ca_pem = root.certificate.to_pem();
    credentials.ca_key_pem = root.key.to_pem();
    if (!folder.empty()) {
      MIZZEN_CHECKED(write_file(folder + "/ca.key", credentials.ca_key_pem));
      MIZZEN_CHECKED(write_file(folder + "/ca.crt", credentials.ca_pem));
    }
  }
  if (credentials.token_key_pem.empty()) {
    MIZZEN_TRY(const auto key, pki::PrivateKey::generate_p256());
    credentials.token_key_pem = key.to_pem();
    if (!folder.empty()) MIZZEN_CHECKED(write_file(folder + "/sa.key", credentials.token_key_pem));
  }
  pki::SubjectNames subject;
  for (const auto& name : names) {
    (io::Address::parse_ip(name, 0) ? subject.ips : subject.dns).push_back(name);
  }
  MIZZEN_TRY(credentials.server, issue_leaf(credentials, subject, "kube-apiserver", now));
  return credentials;
}

Result<io::TlsIdentity> issue_admin(const Credentials& credentials, WallTime now) {
  return issue_leaf(credentials, {}, "system:masters", now);
}

}  // namespace mizzen::local
