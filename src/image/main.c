/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb-image: everything about images that needs a network, an archive or a hash; started by msb.
 *
 *	msb-image pull --home DIR [--registry-fd N] [--platform OS/ARCH[/VARIANT]] [--force]
 *	               [--max-size BYTES] [--stall-timeout SECONDS] [--progress-fd N] REFERENCE
 *	msb-image check-login --home DIR --registry-fd N HOST
 *	msb-image load --home DIR [--tag REFERENCE]... [--platform OS/ARCH[/VARIANT]]
 *	               [--max-size BYTES] [--progress-fd N] FILE|-
 *	msb-image save --home DIR [--format docker|oci] [--progress-fd N] [--archive-fd N]
 *	               --image MANIFEST_DIGEST=REFERENCE... FILE|-
 *	msb-image from-dir --home DIR --out FILE [--owner root] PATH
 *	msb-image verify --home DIR MANIFEST_DIGEST
 *
 * Progress goes to a descriptor as described in progress.h. --registry-fd gives the document of
 * endpoint.h, which says where the image comes from; no configuration is read here. "-" of `save`
 * is the descriptor of --archive-fd. With MSB_DEBUG in the environment it tells on standard error
 * what it tries. One JSON object comes on standard output:
 *
 *	{"ok":true,"images":[RECORD,…]}     or     {"ok":false,"error":{"code","message","hint"}}
 *
 * RECORD is {"reference","manifest_digest","config_digest","architecture","os","variant","created",
 * "size_bytes","layer_count","config":{…as in the OCI config…},"layers":[{"digest","diff_id",
 * "media_type","size","data_bytes","data"}],"erofs","disk":[…],"users":{NAME:[UID,GID]},"cached",
 * "resolved_digest"}; paths are relative to the cache, "disk" lists the files that make the disk,
 * in order; the digest last named is of the index that the reference led to, or of the manifest.
 * Exit status: 0, 1 for a failure, 2 for wrong usage.
 */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "image/endpoint.h"
#include "image/confine.h"
#include "image/load.h"
#include "image/from_dir.h"
#include "image/http.h"
#include "image/image.h"
#include "image/ingest.h"
#include "image/pull.h"
#include "image/registry.h"
#include "image/save.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define ENDPOINTS_LEN_MAX (1 * MIB)

struct options {
	const char *home, *out, *operand;
	struct platform platform;
	struct strv tags;
	struct save_image *images;
	size_t n_images;
	bool force, owner_root, platform_given, oci;
	int progress_fd, registry_fd, archive_fd;
	uint64_t max_size;
	unsigned int stall_timeout; /* seconds */
};

enum option_id {
	OPT_HOME = 1,
	OPT_PLATFORM,
	OPT_FORCE,
	OPT_PROGRESS_FD,
	OPT_REGISTRY_FD,
	OPT_MAX_SIZE,
	OPT_STALL_TIMEOUT,
	OPT_TAG,
	OPT_OUT,
	OPT_OWNER,
	OPT_FORMAT,
	OPT_ARCHIVE_FD,
	OPT_IMAGE,
};

static const struct option long_options[] = {
	{"home", required_argument, NULL, OPT_HOME},
	{"platform", required_argument, NULL, OPT_PLATFORM},
	{"force", no_argument, NULL, OPT_FORCE},
	{"progress-fd", required_argument, NULL, OPT_PROGRESS_FD},
	{"registry-fd", required_argument, NULL, OPT_REGISTRY_FD},
	{"max-size", required_argument, NULL, OPT_MAX_SIZE},
	{"stall-timeout", required_argument, NULL, OPT_STALL_TIMEOUT},
	{"tag", required_argument, NULL, OPT_TAG},
	{"out", required_argument, NULL, OPT_OUT},
	{"owner", required_argument, NULL, OPT_OWNER},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"archive-fd", required_argument, NULL, OPT_ARCHIVE_FD},
	{"image", required_argument, NULL, OPT_IMAGE},
	{NULL, 0, NULL, 0},
};

static int parse_fd(const char *s, int *ret)
{
	uint64_t n;

	if (parse_u64(s, INT_MAX, &n) < 0 || fcntl((int)n, F_GETFD) < 0)
		return -1;
	*ret = (int)n;
	return fd_set_cloexec(*ret, true);
}

/* DIGEST=REFERENCE; several references of one image are its names. */
static int take_image(struct options *o, const char *arg, struct err *e)
{
	_cleanup_free_ char *digest = xstrndup(arg, strcspn(arg, "="));
	const char *name = arg + strlen(digest);
	struct digest d;
	size_t i = 0;

	if (digest_parse(digest, &d) < 0 || name[0] != '=' || !name[1])
		return err_set(e, ERR_USAGE, "bad image '%s'", arg);
	while (i < o->n_images && !digest_eq(&o->images[i].digest, &d))
		i++;
	if (i == o->n_images) {
		o->images = xreallocarray(o->images, ++o->n_images, sizeof(*o->images));
		o->images[i] = (struct save_image){.digest = d};
	}
	for (size_t k = 0; k < o->images[i].names.n; k++)
		if (str_eq(o->images[i].names.v[k], name + 1))
			return 0;
	strv_add(&o->images[i].names, name + 1);
	return 0;
}

static int take_option(struct options *o, int id, const char *arg, struct err *e)
{
	uint64_t seconds;

	switch ((enum option_id)id) {
	case OPT_HOME:
		o->home = arg;
		return 0;
	case OPT_PLATFORM:
		o->platform_given = true;
		return platform_parse(arg, &o->platform, e);
	case OPT_FORCE:
		o->force = true;
		return 0;
	case OPT_PROGRESS_FD:
		if (parse_fd(arg, &o->progress_fd) < 0)
			return err_set(e, ERR_USAGE, "bad descriptor '%s'", arg);
		return 0;
	case OPT_REGISTRY_FD:
		if (parse_fd(arg, &o->registry_fd) < 0)
			return err_set(e, ERR_USAGE, "bad descriptor '%s'", arg);
		return 0;
	case OPT_MAX_SIZE:
		if (parse_u64(arg, UINT64_MAX / 2, &o->max_size) < 0)
			return err_set(e, ERR_USAGE, "bad size '%s'", arg);
		return 0;
	case OPT_STALL_TIMEOUT:
		if (parse_u64(arg, UINT16_MAX, &seconds) < 0 || seconds == 0)
			return err_set(e, ERR_USAGE, "bad number of seconds '%s'", arg);
		o->stall_timeout = (unsigned int)seconds;
		return 0;
	case OPT_TAG:
		strv_add(&o->tags, arg);
		return 0;
	case OPT_OUT:
		o->out = arg;
		return 0;
	case OPT_OWNER:
		if (!str_eq(arg, "root"))
			return err_set(e, ERR_USAGE, "bad owner '%s'", arg);
		o->owner_root = true;
		return 0;
	case OPT_FORMAT:
		if (!str_eq(arg, "docker") && !str_eq(arg, "oci"))
			return err_set(e, ERR_USAGE, "bad format '%s'", arg);
		o->oci = str_eq(arg, "oci");
		return 0;
	case OPT_ARCHIVE_FD:
		if (parse_fd(arg, &o->archive_fd) < 0)
			return err_set(e, ERR_USAGE, "bad descriptor '%s'", arg);
		return 0;
	case OPT_IMAGE:
		return take_image(o, arg, e);
	}
	return err_set(e, ERR_USAGE, "unknown option");
}

static int parse_options(struct options *o, int argc, char **argv, struct err *e)
{
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (id == '?')
			return err_set(e, ERR_USAGE, "bad option '%s'", argv[optind - 1]);
		if (take_option(o, id, optarg, e) < 0)
			return -1;
	}
	if (optind + 1 != argc)
		return err_set(e, ERR_USAGE, "exactly one operand is expected");
	o->operand = argv[optind];
	return o->home ? 0 : err_set(e, ERR_USAGE, "--home is missing");
}

/* --- commands ------------------------------------------------------------------------------ */

static int read_endpoints(int fd, struct endpoints *ret, struct err *e)
{
	char *text = xcalloc(1, ENDPOINTS_LEN_MAX);
	ssize_t n = read_full(fd, text, ENDPOINTS_LEN_MAX);
	int r;

	if (n < 0)
		r = err_sys(e, (int)-n, "cannot read the list of registries");
	else
		r = endpoints_parse(text, (size_t)n, ret, e);
	explicit_bzero(text, ENDPOINTS_LEN_MAX);
	free(text);
	return r;
}

static json_t *cmd_pull(struct options *o, struct store *s, struct progress *p, struct err *e)
{
	struct endpoints endpoints = {0};
	struct pull_options po = {
		.reference = o->operand,
		.platform = o->platform,
		.force = o->force,
		.max_size = o->max_size,
	};
	json_t *images = json_array(), *record;

	if (o->registry_fd >= 0) {
		if (read_endpoints(o->registry_fd, &endpoints, e) < 0)
			return json_decref(images), NULL;
		po.endpoints = &endpoints;
	}
	if (image_confine(s->root, true, e) < 0 || http_global_init(o->stall_timeout, e) < 0)
		record = NULL;
	else
		record = pull_image(s, &po, p, e);
	endpoints_release(&endpoints);
	if (!record)
		return json_decref(images), NULL;
	json_array_append_new(images, record);
	return images;
}

static json_t *cmd_check_login(const struct options *o, struct err *e)
{
	struct endpoints endpoints;
	struct registry *registry;
	struct http *h = NULL;
	int r;

	if (o->registry_fd < 0) {
		err_set(e, ERR_USAGE, "--registry-fd is missing");
		return NULL;
	}
	if (read_endpoints(o->registry_fd, &endpoints, e) < 0)
		return NULL;
	registry = registry_new(&endpoints, NULL, NULL);
	if (image_confine(-1, true, e) == 0 && http_global_init(o->stall_timeout, e) == 0)
		h = http_new(e);
	r = h ? registry_check_login(registry, h, e) : -1;
	http_free(h);
	registry_free(registry);
	endpoints_release(&endpoints);
	return r < 0 ? NULL : json_array();
}

static json_t *cmd_load(struct options *o, struct store *s, struct progress *p, struct err *e)
{
	struct load_options ao = {
		.tags = &o->tags,
		.platform = o->platform,
		.platform_given = o->platform_given,
		.max_size = o->max_size,
	};
	_cleanup_close_ int fd = -1;

	if (strcmp(o->operand, "-") == 0) {
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		if (fd < 0) {
			err_sys(e, errno, "cannot read standard input");
			return NULL;
		}
	} else {
		fd = open(o->operand, O_RDONLY | O_CLOEXEC);
		if (fd < 0) {
			err_sys(e, errno, "cannot open '%s'", o->operand);
			if (errno == ENOENT)
				e->code = ERR_NOT_FOUND;
			return NULL;
		}
	}
	return image_confine(s->root, false, e) < 0 ? NULL : load_archive(s, fd, &ao, p, e);
}

static json_t *cmd_save(struct options *o, struct store *s, struct progress *p, struct err *e)
{
	struct save_options so = {.images = o->images, .n_images = o->n_images, .docker = !o->oci};
	int r;

	if (o->n_images == 0 || str_eq(o->operand, "-") != (o->archive_fd >= 0)) {
		err_set(e, ERR_USAGE, "--image or --archive-fd is missing or too much");
		return NULL;
	}
	progress_stage(p, PROGRESS_DOWNLOAD);
	r = o->archive_fd >= 0 ? save_archive(s, o->archive_fd, &so, p, e)
			       : save_file(s, o->operand, &so, p, e);
	return r < 0 ? NULL : json_array();
}

static json_t *cmd_from_dir(struct options *o, struct err *e)
{
	struct from_dir_options fo = {.owner_root = o->owner_root, .max_size = o->max_size};

	if (!o->out) {
		err_set(e, ERR_USAGE, "--out is missing");
		return NULL;
	}
	return from_dir(o->operand, o->out, &fo, e) < 0 ? NULL : json_array();
}

static json_t *cmd_verify(struct options *o, struct store *s, struct err *e)
{
	json_t *images = NULL;
	struct digest d;
	struct image im;

	if (digest_parse(o->operand, &d) < 0) {
		err_set(e, ERR_USAGE, "bad digest '%s'", o->operand);
		return NULL;
	}
	if (image_confine(s->root, false, e) < 0 || image_open(&im, s, &d, e) < 0)
		return NULL;
	if (image_scan(&im, e) == 0 && image_verify(&im, e) == 0) {
		images = json_array();
		json_array_append_new(images, image_record(&im, NULL, true));
	}
	image_release(&im);
	return images;
}

/* Whether `command` is one that needs no store; then *ret is its result. */
static bool run_without_store(const char *command, struct options *o, json_t **ret, struct err *e)
{
	if (str_eq(command, "from-dir"))
		*ret = cmd_from_dir(o, e);
	else if (str_eq(command, "check-login"))
		*ret = cmd_check_login(o, e);
	else
		return false;
	return true;
}

/*
 * A pull that nobody waits for is of no use. What it leaves is cleared away by the next program
 * that opens the store. Without a parent already, only the reader of the progress is missed.
 */
static void end_with_parent(int progress_fd)
{
	struct pollfd p = {.fd = progress_fd};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (progress_fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & POLLERR))
		raise(SIGKILL);
}

static json_t *run(int argc, char **argv, struct options *o, struct err *e)
{
	const char *command = argc > 1 ? argv[1] : "";
	struct progress *p;
	json_t *images = NULL;
	struct store s;

	if (!str_eq(command, "pull") && !str_eq(command, "load") && !str_eq(command, "save") &&
	    !str_eq(command, "from-dir") && !str_eq(command, "verify") &&
	    !str_eq(command, "check-login")) {
		err_set(e, ERR_USAGE, "unknown command '%s'", command);
		return NULL;
	}
	if (parse_options(o, argc - 1, argv + 1, e) < 0)
		return NULL;
	end_with_parent(o->progress_fd);
	if (run_without_store(command, o, &images, e))
		return images;
	if (store_open(&s, o->home, e) < 0)
		return NULL;
	p = progress_new(o->progress_fd);
	if (str_eq(command, "pull"))
		images = cmd_pull(o, &s, p, e);
	else if (str_eq(command, "load"))
		images = cmd_load(o, &s, p, e);
	else if (str_eq(command, "save"))
		images = cmd_save(o, &s, p, e);
	else
		images = cmd_verify(o, &s, e);
	progress_free(p);
	store_close(&s);
	return images;
}

/* --- results ------------------------------------------------------------------------------- */

/* A JSON string of text that may hold bytes of a hostile archive. */
static json_t *text_json(const char *s)
{
	json_t *j = json_string(s);
	char *p, *clean;

	if (j)
		return j;
	clean = xstrdup(s);
	for (p = clean; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	j = json_string(clean);
	free(clean);
	return j;
}

static void print_result(json_t *images, const struct err *e)
{
	json_t *root = json_object(), *error;

	json_object_set_new(root, "ok", json_boolean(images != NULL));
	if (images) {
		json_object_set(root, "images", images);
	} else {
		error = json_object();
		json_object_set_new(error, "code", json_string(err_code_name(e->code)));
		json_object_set_new(error, "message", text_json(e->msg));
		json_object_set_new(error, "hint", e->hint[0] ? text_json(e->hint) : json_null());
		json_object_set_new(root, "error", error);
	}
	json_dumpf(root, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(root);
}

int main(int argc, char **argv)
{
	struct options o = {
		.operand = "",
		.progress_fd = -1,
		.registry_fd = -1,
		.archive_fd = -1,
		.max_size = INGEST_MAX_SIZE_DEFAULT,
		.stall_timeout = HTTP_STALL_TIMEOUT_DEFAULT,
	};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct err e = {0};
	json_t *images;
	int status;

	platform_host(&o.platform);
	log_setup("msb-image", secure_getenv("MSB_DEBUG") ? LOG_DEBUG : LOG_WARN);
	/* A reader of progress that goes away must not end a pull. */
	sigaction(SIGPIPE, &ignore, NULL);
	images = run(argc, argv, &o, &e);
	print_result(images, &e);
	if (fflush(stdout) != 0 && images)
		status = 1;
	else
		status = images ? 0 : e.code == ERR_USAGE ? 2 : 1;
	json_decref(images);
	strv_release(&o.tags);
	for (size_t i = 0; i < o.n_images; i++)
		strv_release(&o.images[i].names);
	free(o.images);
	return status;
}
