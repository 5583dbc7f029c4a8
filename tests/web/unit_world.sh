# A machine on which packaging/holdfast.service is started, in namespaces of its own (network, mounts): what is made here
# is gone with them. $1: a folder for what is put over /etc and /var; $2: the organisation of tests/web/conftest.py;
# $3, $4: the project, and where Python lies; the rest is what is done in the end.
set -eu
work=$1 founded=$2 project=$3 python=$4
shift 4
mount --make-rprivate /
ip link set lo up
mkdir -p "$work/etc" "$work/etc-work" "$work/var" "$work/var-work" "$work/home"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$work/etc,workdir=$work/etc-work" /etc
mount -t overlay overlay -o "lowerdir=/var,upperdir=$work/var,workdir=$work/var-work" /var
echo "holdfast:x:64321:64321::/var/lib/holdfast:/usr/sbin/nologin" >> /etc/passwd
echo "holdfast:x:64321:" >> /etc/group
# The user `holdfast` reaches the program, also where it lies below root's home.
mount --bind /root "$work/home"
mount -t tmpfs -o mode=755 tmpfs /root
for one in "$project" "$python"; do
  case $one in /root/*) mkdir -p "$one"; mount --bind "$work/home/${one#/root/}" "$one" ;; esac
done
mount -t tmpfs tmpfs /usr/local/sbin
ln -s "$project/.venv/bin/holdfast" /usr/local/sbin/holdfast
# Declarations and keys in /etc, stores in /srv: as an operator would put them there.
mount -t tmpfs tmpfs /srv
mkdir /srv/holdfast
cp -a "$founded/a" "$founded/b" "$founded/c" /srv/holdfast
cp -a "$founded/config/holdfast" /etc/holdfast
sed "s#$founded#/srv/holdfast#g" "$founded/holdfast.yaml" > /etc/holdfast/holdfast.yaml
chown -R holdfast:holdfast /srv/holdfast /etc/holdfast
exec "$@"
