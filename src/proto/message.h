/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON messages inside request, event and result frames, as structs. docs/protocol.md is the
 * description; what is here is shared by the client (msb), the relay (msb-monitor) and the agent.
 * Decoding is strict: unknown types, duplicate keys and values out of range are refused.
 */
#pragma once

#include "base/err.h"
#include "proto/boot_mount.h"
#include "proto/frame.h"

#include <jansson.h>

#define PROTOCOL_VERSION 1

/* The agent listens for sessions on this vsock port, and the monitor for its first call home. */
#define AGENT_VSOCK_PORT 1024

#define EXEC_ARGS_MAX   4096
#define EXEC_RLIMIT_MAX 16

/* RLIM_INFINITY on the wire is the string "unlimited". */
struct rlimit_spec {
	int resource; /* RLIMIT_* */
	uint64_t soft;
	uint64_t hard;
};

/* Run a program in the guest. Strings are owned; see exec_request_release. */
struct exec_request {
	struct strv argv;
	struct strv env; /* K=V, over the sandbox's own environment */
	char *cwd;       /* NULL: the sandbox's working directory */
	char *user;      /* NULL: the sandbox's user; else name, uid, uid:gid or name:group */
	bool tty;
	bool has_stdin;      /* false: standard input is /dev/null */
	uint16_t rows;       /* of the terminal; 0: 24 */
	uint16_t cols;       /* 0: 80 */
	uint64_t timeout_ms; /* 0: none; then the whole process group is killed */
	bool join;           /* becomes the connection of the sandbox's init, which runs already */
	struct rlimit_spec rlimits[EXEC_RLIMIT_MAX]; /* over the sandbox's own, one by one */
	size_t n_rlimits;
};

void exec_request_release(struct exec_request *r);
/* Returns a new JSON object {"op": "exec", ...}, or NULL when a string is not UTF-8. */
json_t *exec_request_to_json(const struct exec_request *r);
/* Fills `ret` (zeroed first). 0, or -1 with the error set and nothing to release. */
int exec_request_from_json(json_t *j, struct exec_request *ret, struct err *e);

/* What an init that ended wanted from the machine. */
enum init_wish { INIT_WISH_NONE, INIT_WISH_OFF, INIT_WISH_REBOOT, INIT_WISH_COUNT };

/* How a program ended. */
struct exec_result {
	int exit_code; /* 128 + signal when it was killed */
	int signal;    /* 0: it exited by itself */
	bool timed_out;
	enum init_wish wish; /* of an init only; exit_code is 0 then */
	uint64_t start_ns;   /* what it took to start the program, by the guest's clock */
	uint64_t run_ns;     /* and from there to its end */
};

json_t *exec_result_to_json(const struct exec_result *r);
/* Also takes an error result, which it turns into an error: 0 or -1. */
int exec_result_from_json(json_t *j, struct exec_result *ret, struct err *e);

#define BOOT_SCRIPTS_MAX       1024
#define BOOT_SCRIPTS_BYTES_MAX (512 * KIB) /* all contents together, so that a frame holds them */
#define BOOT_SCRIPT_NAME_MAX   255

/* A program in the guest's memory, at /.msb/scripts/NAME, which is in PATH. */
struct boot_script {
	char *name;
	uint8_t *data;
	size_t len;
};

void boot_script_release(struct boot_script *s);
/* Whether it can be a file in that directory. */
bool boot_script_name_ok(const char *name);
/* {"name": N, "text": S}, or "base64" instead of "text" where that is shorter or has to be. */
json_t *boot_script_to_json(const struct boot_script *s);
/* 0 with `ret` to be released, or -1. */
int boot_script_from_json(json_t *j, struct boot_script *ret, struct err *e);

#define BOOT_NAMESERVERS_MAX 3 /* more of them no resolver asks */
#define BOOT_MTU_MIN         1280
#define BOOT_MTU_MAX         65520

struct boot_ip4 {
	uint8_t address[4], gateway[4]; /* network order */
	unsigned prefix_len;            /* 0: the machine has no IPv4 */
};

struct boot_ip6 {
	uint8_t address[16], gateway[16];
	unsigned prefix_len; /* 0: the machine has no IPv6 */
};

/* The machine's network interface. */
struct boot_network {
	uint8_t mac[6]; /* by which it is found */
	unsigned mtu;
	struct boot_ip4 ip4;
	struct boot_ip6 ip6;
	struct strv nameservers; /* addresses as text */
};

/* What the agent needs to know to make the sandbox's root and environment. */
struct boot_config {
	char *hostname;
	struct strv env; /* K=V of every program: image, then sandbox */
	char *workdir;   /* NULL: / */
	char *user;      /* NULL: root */
	/* The root is one of these: two disks that are joined, or a share that is written to. */
	char *image_disk;    /* serial or device of the read-only EROFS disk */
	char *upper_disk;    /* the same of the ext4 disk that takes the writes */
	char *root_share;    /* its name in the shared file system */
	uint64_t upper_size; /* bytes: the file system is grown to this at first boot */
	uint64_t time_ns;    /* host's CLOCK_REALTIME when sent; 0: leave the clock alone */
	struct boot_mount mounts[BOOT_MOUNTS_MAX]; /* parents before what is mounted below them */
	size_t n_mounts;
	bool restricted; /* programs get no new privileges and no CAP_SYS_ADMIN */
	struct rlimit_spec rlimits[EXEC_RLIMIT_MAX]; /* of every program */
	size_t n_rlimits;
	struct boot_script *scripts;
	size_t n_scripts;
	bool has_network;
	struct boot_network network;
	bool has_init;
	/*
	 * A program that is the first process of a PID namespace in which all others run;
	 * argv[0] "auto": the first init that the root has.
	 */
	struct exec_request init;
};

void boot_config_release(struct boot_config *c);
/* NULL when a string is not UTF-8. */
json_t *boot_config_to_json(const struct boot_config *c);
int boot_config_from_json(json_t *j, struct boot_config *ret, struct err *e);

/* An array of strings, owned; NULL when one is not UTF-8: none may get lost on the way. */
json_t *message_strings(const struct strv *sv);

/* Parses a JSON object strictly. NULL with the error set when it is none. */
json_t *message_parse(const void *data, size_t len, struct err *e);
/* {"ok": true} */
json_t *message_ok(void);
/* {"ok": false, "error": {"code": ..., "message": ..., "hint": ...}} */
json_t *message_error(const struct err *e);
/* 0 when the result says ok; -1 with its error taken over otherwise. */
int message_check(json_t *result, struct err *e);

/* Appends or writes a frame with the JSON in compact form. 0 or -errno. Does not take `j` over. */
int message_append(struct buf *b, uint8_t type, json_t *j);
int message_write(int fd, uint8_t type, json_t *j);
