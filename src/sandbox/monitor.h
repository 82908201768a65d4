/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of msb-monitor share. Theory of operation: monitor.c. */
#pragma once

#include "base/loop.h"
#include "base/stats.h"
#include "sandbox/logfile.h"
#include "sandbox/monitor_child.h"
#include "sandbox/spec.h"

struct monitor;

/* How long a guest that is asked to shut down has for it, when nobody says otherwise. */
#define STOP_DEFAULT_MS 10000
#define STOP_MAX_MS     86400000

/* How a guest ended, when it did so by itself. */
#define GUEST_REBOOTED     "the guest rebooted"
#define GUEST_SWITCHED_OFF "the guest switched itself off"

enum monitor_state {
	MONITOR_LAUNCHING, /* waiting for the spec */
	MONITOR_BOOTING,   /* the machine runs, the agent has not reported ready */
	MONITOR_READY,
	MONITOR_STOPPING, /* the guest was asked to shut down, or was killed */
	MONITOR_STATE_COUNT
};

/* Why the machine ends; the first cause wins. */
enum end_cause {
	END_NONE,
	END_REQUESTED,  /* msb stop */
	END_COMPLETED,  /* the workload ended */
	END_OWNER_GONE, /* the attached launcher closed its connection */
	END_GUEST,      /* the guest rebooted or powered off by itself */
	END_BOOT_FAILED,
	END_CRASHED,
	END_IDLE,         /* nothing used it for its idle time-out */
	END_MAX_DURATION, /* it has run for as long as it may */
	END_CAUSE_COUNT
};

/* CLOCK_MONOTONIC of the stages of a start. */
struct stage_times {
	uint64_t start;   /* main() */
	uint64_t spec;    /* launch spec received */
	uint64_t spawned; /* vmm started */
	uint64_t hello;   /* the agent called home: the kernel is up */
	uint64_t net;     /* the network works; 0: there is none */
	uint64_t ready;   /* the root and environment stand, and the network works */
	uint64_t agent_setup_ns;
};

enum session_state {
	SESSION_REQUEST,
	SESSION_WAITING,
	SESSION_CONNECTING,
	SESSION_RELAY,
	SESSION_LOST,
	SESSION_HELD,
	SESSION_STOP_WAIT
};

enum pause_want { WANTS_NOTHING, WANTS_PAUSE, WANTS_RESUME };

/* One client's operation, relayed to the agent; see monitor_session.c. */
struct session {
	struct session *next;
	struct monitor *m;
	uint64_t id;
	enum session_state state;
	bool is_exec;     /* a program's output is logged */
	bool followed;    /* an end without a result has a reason, which the client is told */
	bool is_workload; /* the sandbox ends with it */
	bool is_init;     /* it is the sandbox's init that the connection joins */
	bool tty;
	bool kept;             /* goes on without a client */
	bool announced;        /* the client knows its number */
	bool is_use;           /* while it is open the sandbox is not idle */
	char *command;         /* a program's command line, perhaps cut short; NULL: none */
	enum pause_want wants; /* answered when it is so */
	int client_fd;         /* -1: there is no client */
	int agent_fd;
	struct ev client_ev, agent_ev;
	struct buf to_agent, to_client;
	size_t whole;    /* bytes of `to_agent` that are complete frames */
	bool agent_done; /* nothing more comes from the agent */
	struct timer lost_timer;
	/* Finds frames in the agent's byte stream: output for the log, and the result. */
	struct {
		uint8_t header[FRAME_HEADER_LEN];
		size_t have;
		uint8_t type;
		uint32_t left;
		struct buf result; /* a result frame's payload */
	} tap;
};

/* The conversation in which the agent gets its boot configuration; see monitor_boot.c. */
struct boot_call {
	int offers_fd; /* where msb-vmm offers the guest's connections */
	int fd;        /* the agent's */
	struct ev offers_ev, ev;
	struct buf in, out;
	bool called; /* once; what is offered afterwards is refused */
	bool configured;
	bool done; /* the root and environment stand */
};

/* The machine's process; see monitor_vmm.c. */
struct vmm {
	struct child child;
	int console_fd;
	struct ev console_ev;
};

/* The network's process, if the sandbox has a network; see monitor_net.c. */
struct network {
	struct child child;
	int rings_fd, wake_fd, call_fd; /* -1 again when both processes have them */
	bool started;                   /* ports are bound */
	char hint[512];                 /* what to do about its error; "": nothing */
	json_t *ports;                  /* for the operation of that name */
};

/* Whether the machine stands still, and the commands for that; see monitor_pause.c. */
struct pause {
	int fd; /* where msb-vmm takes commands; -1: it has stopped to do so */
	struct ev ev;
	bool paused;
	enum pause_want commanded; /* while the answer is awaited */
	struct timer patience;
};

/* What the machine had done at some time. */
struct sample {
	uint64_t time_ns; /* CLOCK_MONOTONIC; 0: never taken */
	uint64_t cpu_ns;
	struct stats_disk image, upper;
	struct stats_net net;
	uint64_t balloon_bytes;
};

/* What the machine does and uses; see monitor_metrics.c. */
struct metrics {
	const struct stats_page *page; /* msb-vmm writes to it */
	int upper_fd;                  /* the writable disk */
	pid_t emulator;                /* a child of msb-vmm; 0: there is none */
	struct sample latest;          /* also the lower bound of everything later */
	struct sample last, before;    /* of the timer */
	struct timer timer;
};

/* How long the sandbox may run; see monitor_limits.c. */
struct limits {
	struct timer lifetime;
	struct timer idle;
};

struct monitor {
	struct loop *loop;
	struct launch_spec spec;
	enum monitor_state state;
	enum end_cause cause;
	char end_text[1024];
	char end_hint[512]; /* of a boot that failed; "": none */
	int exit_code;      /* of the workload; -1: none */
	struct stage_times times;

	int launch_fd, control_fd;
	struct ev launch_ev, control_ev;
	struct buf launch_in;
	bool launch_answered;

	int sandbox_dir, logs_dir, run_dir;
	struct logfile exec_log, kernel_log;
	struct boot_call boot;
	struct vmm vmm;
	struct network net;
	struct session *sessions;
	struct session *spare; /* a connection to the agent that is to be used next; NULL: none */
	bool keeps_spare;      /* worth having: it lives longer than one command */
	uint64_t next_session;
	struct limits limits;
	struct pause pause;
	struct metrics metrics;
	struct timer deadline; /* of booting, then of stopping */
	uint64_t programs_ms;  /* that programs have between TERM and KILL; 0: SHUTDOWN_GRACE_MAX */
};

/* --- monitor.c --- */
/* Ends the sandbox: asks the guest to shut down within `grace_ms`, or kills it at once for 0. */
void monitor_stop(struct monitor *m, enum end_cause cause, uint64_t grace_ms);
/*
 * The agent or the network is there: when both are, tells the launcher and lets waiting sessions
 * go on.
 */
void monitor_ready(struct monitor *m);
/* The machine's process has ended: records how, cleans up and leaves the loop. */
void monitor_ended(struct monitor *m, int status);
/* Booting has gone wrong for the reason given. */
void monitor_boot_failed(struct monitor *m, const char *fmt, ...) PRINTF_FORMAT(2, 3);
/*
 * A process without which the sandbox is nothing has ended. `hint`, or "", is for one that did
 * not come up.
 */
void monitor_lost(struct monitor *m, const char *hint, const char *fmt, ...) PRINTF_FORMAT(3, 4);
/* The sandbox has come to a limit of its own: as monitor_stop, with the reason in words. */
void monitor_stop_for(struct monitor *m, enum end_cause cause, const char *fmt, ...)
	PRINTF_FORMAT(3, 4);
/* Why the sandbox ended, in words. */
const char *monitor_end_text(const struct monitor *m);
/* A system line in exec.log. */
void monitor_note(struct monitor *m, const char *fmt, ...) PRINTF_FORMAT(2, 3);

/* --- monitor_vmm.c --- */
/* Opens disks and starts msb-vmm. 0 or -1. */
int vmm_start(struct monitor *m, struct err *e);
void vmm_release(struct monitor *m);

/* --- monitor_mounts.c --- */
/* Opens what is shared with the guest, and disks beside its own, for msb-vmm. 0 or -1. */
int mounts_add_shares(struct monitor *m, struct child_args *a, struct err *e);
int mounts_add_disks(struct monitor *m, struct child_args *a, struct err *e);

/* --- monitor_net.c: nothing happens where the spec has no network --- */
/* Makes what msb-vmm and msb-net meet in. 0 or -1. */
int net_prepare(struct monitor *m, struct err *e);
/* The device of msb-vmm. */
void net_add_device(struct monitor *m, struct child_args *a);
/* Starts msb-net, after msb-vmm. 0 or -1. */
int net_start(struct monitor *m, struct err *e);
/* It works, or there is none to wait for. */
bool net_is_up(const struct monitor *m);
/* The answer to a request for published ports; owned. */
json_t *net_ports_answer(const struct monitor *m);
void net_release(struct monitor *m);

/* --- monitor_pause.c --- */
/* Makes the socket for commands; returns msb-vmm's end of it, owned by the caller, or -1. */
int pause_open(struct monitor *m, struct err *e);
/*
 * Does what is to be done next for the sessions that want a pause or its end, and for a sandbox
 * that is being stopped, whose guest must run. May end sessions.
 */
void pause_step(struct monitor *m);
void pause_release(struct monitor *m);

/* --- monitor_boot.c --- */
/*
 * Waits for the agent's call on a new socket; returns msb-vmm's end of it, owned by the caller, or
 * -1.
 */
int boot_await_call(struct monitor *m, struct err *e);
void boot_release(struct monitor *m);

/* --- monitor_session.c --- */
/* Takes over a client's connection. */
void session_accept(struct monitor *m, int client_fd);
/* Runs the workload of the spec. */
void session_start_workload(struct monitor *m);
/* Logs what the sandbox's init prints, and waits for its end, for want of a client that does. */
void session_watch_init(struct monitor *m);
/* Makes a connection to the agent in advance, if there is none. */
void session_keep_spare(struct monitor *m);
/* Lets sessions that wait for the agent go on. */
void sessions_agent_ready(struct monitor *m);
/* Sends a request of the monitor's own to the agent; the answer ends it. */
void session_send_shutdown(struct monitor *m, uint64_t grace_ms);
/* Adjusts what is waited for, after something changed from outside. */
void session_update(struct session *s);
/* Lets go of the client; the session goes on without one. */
void session_drop_client(struct session *s);
/* Gives a session without a client that of another, which ends. 0 or -errno. */
int session_take_client(struct session *s, struct session *from);
void session_free(struct session *s);
/* Sends an answer of the monitor's own and ends the session; takes `result` over. */
void session_answer(struct session *s, json_t *result);
void session_answer_error(struct session *s, enum err_code code, const char *msg);
/* The request is the agent's, which gets it as it came, as soon as it is there. */
void session_pass_on(struct session *s);
/* The client has said all; somebody else gives the answer. */
void session_hold(struct session *s);
/* The answer is given when the sandbox is down. */
void session_wait_for_end(struct session *s);
/* Answers all that are open with an error, or with ok those that wait for the end. */
void sessions_finish(struct monitor *m);

/* --- monitor_request.c --- */
/* Acts on a session's first frame. May end the session. */
void session_handle_request(struct session *s, const struct frame *f);

/* --- monitor_attach.c --- */
/* The operations detach, attach and sessions. May end the session. */
void attach_handle_detach(struct session *s, json_t *j);
void attach_handle_attach(struct session *s, json_t *j);
void attach_handle_list(struct session *s);
/* The command line of an exec request for people, cut short; owned. */
char *attach_command_text(json_t *argv);

/* --- monitor_metrics.c --- */
/* Makes the page for counters; returns a descriptor of it for msb-vmm, or -1. */
int metrics_open(struct monitor *m, struct err *e);
/* The machine has started: from now on it is looked at. */
void metrics_start(struct monitor *m);
/* msb-vmm says that this process has the vCPUs. */
void metrics_set_emulator(struct monitor *m, const char *pid);
/* The answer to a request for them; owned. */
json_t *metrics_answer(struct monitor *m);
void metrics_release(struct monitor *m);

/* --- monitor_limits.c --- */
/* The sandbox is ready: its time runs from now on. */
void limits_start(struct monitor *m);
/* It was used, or something that used it is over: the idle time starts anew. */
void limits_used(struct monitor *m);
/* It is paused: until it is used again, for which its end counts, it is not idle. */
void limits_paused(struct monitor *m);

/* --- upper.c --- */
/*
 * Opens the writable disk: the sandbox's upper.ext4, made from a template if it is not there,
 * or for an ephemeral sandbox a copy of a template without a name. `size` is that of the disk
 * in bytes, to which the guest grows the file system; 0: as it comes. A descriptor, or -1.
 */
int upper_open(int sandbox_dir, bool ephemeral, uint64_t size, struct err *e);
